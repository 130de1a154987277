"""Compares Fovea's tiles with sahi's, on this machine: the boxes, and the time of each image. scripts/bench-tiles starts it.

Large images with small objects are made of the photographs in testdata/images, or those of another folder. sahi's model is YOLOX by
ONNX Runtime, with preprocessing and suppression in NumPy and OpenCV, as a custom DetectionModel of sahi is usually written; its session
uses all cores. Both predict tiles of 640 pixels that overlap by 0.2, and the whole image, and merge them by GREEDYNMM with IOS 0.5, which
are the defaults of both. The times of sahi do not include HTTP.
"""

import argparse
import http.client
import io
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from PIL import Image
from sahi.models.base import DetectionModel
from sahi.predict import get_sliced_prediction
from sahi.prediction import ObjectPrediction

TILE, OVERLAP, SCORE, IOU, BOXES = 640, 0.2, 0.3, 0.45, 100
PAIRED = 0.9  # the least IoU of a pair of boxes


class YOLOX(DetectionModel):
    """YOLOX as an ONNX file, after its own demo/ONNXRuntime/onnx_inference.py."""

    def load_model(self):
        self.model = onnxruntime.InferenceSession(self.model_path, providers=["CPUExecutionProvider"])
        self.size = self.model.get_inputs()[0].shape[2]
        grids, strides = [], []
        for stride in (8, 16, 32):
            n = self.size // stride
            ys, xs = np.mgrid[:n, :n]
            grids.append(np.stack((xs, ys), 2).reshape(-1, 2))
            strides.append(np.full((n * n, 1), stride))
        self.grid, self.stride = np.concatenate(grids), np.concatenate(strides)

    @property
    def num_categories(self):
        return 80

    def perform_inference(self, image):
        height, width = image.shape[:2]
        factor = min(self.size / height, self.size / width)
        resized = cv2.resize(image[:, :, ::-1], (int(width * factor), int(height * factor)), interpolation=cv2.INTER_LINEAR)
        padded = np.full((self.size, self.size, 3), 114, np.uint8)
        padded[: resized.shape[0], : resized.shape[1]] = resized
        tensor = np.ascontiguousarray(padded.transpose(2, 0, 1)[None], np.float32)
        out = self.model.run(None, {self.model.get_inputs()[0].name: tensor})[0][0]
        scores = out[:, 5:] * out[:, 4:5]
        classes = scores.argmax(1)
        scores = scores[np.arange(len(scores)), classes]
        keep = scores >= SCORE
        out, classes, scores = out[keep], classes[keep], scores[keep]
        centers = (out[:, :2] + self.grid[keep]) * self.stride[keep]
        sides = np.exp(out[:, 2:4]) * self.stride[keep]
        boxes = np.concatenate((centers - sides / 2, centers + sides / 2), 1)
        kept = suppress(boxes, scores, classes)[:BOXES]
        boxes = (boxes[kept] / factor).clip(0, [width, height, width, height])
        self._original_predictions = boxes, scores[kept], classes[kept]

    def _create_object_prediction_list_from_original_predictions(self, shift_amount_list=None, full_shape_list=None):
        shift = shift_amount_list or [0, 0]
        shape = full_shape_list
        if isinstance(shift[0], list):
            shift = shift[0]
        if shape and isinstance(shape[0], list):
            shape = shape[0]
        self._object_prediction_list_per_image = [
            [
                ObjectPrediction(bbox=box.tolist(), score=float(score), category_id=int(c), category_name=str(c), shift_amount=shift, full_shape=shape)
                for box, score, c in zip(*self._original_predictions, strict=True)
                if box[2] > box[0] and box[3] > box[1]
            ]
        ]


def suppress(boxes, scores, classes):
    """Non-maximum suppression of each class; returns indices, best first."""
    order, kept = np.argsort(-scores, kind="stable"), []
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    while len(order):
        i, order = order[0], order[1:]
        kept.append(i)
        low, high = np.maximum(boxes[i, :2], boxes[order, :2]), np.minimum(boxes[i, 2:], boxes[order, 2:])
        shared = (high - low).clip(0).prod(1)
        order = order[(shared <= IOU * (areas[i] + areas[order] - shared)) | (classes[order] != classes[i])]
    return np.array(kept, int)


def compose(photos, width, height, seed):
    """An image of width×height pixels, full of photographs that are made small."""
    rng = random.Random(seed)
    out = Image.new("RGB", (width, height), (90, 110, 100))
    step = 280
    for top in range(0, height, step):
        for left in range(0, width, step):
            photo = rng.choice(photos)
            side = rng.randint(240, 420)
            small = photo.resize((side, max(1, side * photo.height // photo.width)), Image.Resampling.BICUBIC)
            out.paste(small, (left + rng.randint(-40, 40), top + rng.randint(-40, 40)))
    data = io.BytesIO()
    out.save(data, "JPEG", quality=92)
    return data.getvalue()


def sahi_boxes(model, data):
    image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    result = get_sliced_prediction(image, model, TILE, TILE, OVERLAP, OVERLAP, verbose=0)
    return [(p.category.id, p.score.value, *p.bbox.to_xyxy()) for p in result.object_prediction_list]


def fovea_boxes(port, name, data):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", f"/v1/models/{name}/predict?tile={TILE}&overlap={OVERLAP}", data, {"Content-Type": "image/jpeg"})
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    if response.status != 200:
        sys.exit(f"Fovea: {response.status} {body}")
    prediction = body["predictions"][0]
    return [(b["class"], b["score"], b["x1"], b["y1"], b["x2"], b["y2"]) for b in prediction["boxes"]], prediction["tiles"]


def pairs(a, b):
    """The number of boxes that can be paired, best IoU first, each once."""
    found = []
    for i, p in enumerate(a):
        for k, q in enumerate(b):
            if p[0] != q[0]:
                continue
            low, high = np.maximum(p[2:4], q[2:4]), np.minimum(p[4:], q[4:])
            shared = np.prod((high - low).clip(0))
            iou = shared / ((p[4] - p[2]) * (p[5] - p[3]) + (q[4] - q[2]) * (q[5] - q[3]) - shared)
            if iou >= PAIRED:
                found.append((iou, i, k))
    left, right = set(), set()
    for _, i, k in sorted(found, reverse=True):
        if i not in left and k not in right:
            left.add(i)
            right.add(k)
    return len(left)


def serve(program, repository, name, port):
    log = tempfile.NamedTemporaryFile(prefix="fovea-", suffix=".log", delete=False)  # noqa: SIM115 the server writes it
    server = subprocess.Popen([program, "--http.address", f"127.0.0.1:{port}", "--repository.dir", repository, "--inference.models", name], stdout=log, stderr=log)
    for _ in range(300):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return server
        except OSError:
            pass
        if server.poll() is not None:
            break
        time.sleep(0.1)
    server.kill()
    sys.exit(f"the server does not start: {log.name}")


def cpu_seconds(process):
    """The CPU time of a process."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("-serve", default="bin/serve")
    flags.add_argument("-repository", default="models")
    flags.add_argument("-model", default="yolox-nano")
    flags.add_argument("-weights", default="models/yolox-nano/1/model.onnx")
    flags.add_argument("-photos", default="testdata/images")
    flags.add_argument("-sizes", default="1920x1080,4000x3000,6000x4000")
    flags.add_argument("-rounds", type=int, default=5)
    flags.add_argument("-port", type=int, default=18480)
    given = flags.parse_args()
    photos = [Image.open(p).convert("RGB") for p in sorted(Path(given.photos).glob("*.jp*g"))]
    images = [compose(photos, *map(int, size.split("x")), seed) for seed, size in enumerate(given.sizes.split(","))]
    model = YOLOX(model_path=given.weights, confidence_threshold=SCORE, device="cpu")
    server = serve(given.serve, given.repository, given.model, given.port)
    try:
        compare(given, model, images, server)
    finally:
        server.terminate()
        server.wait(30)


def compare(given, model, images, server):
    print(f"{len(os.sched_getaffinity(0))} cores, {given.rounds} rounds in turns, medians")
    print("| image | tiles | boxes: sahi, Fovea | paired at IoU 0.9 | sahi | Fovea | times as fast | CPU time: sahi, Fovea |\n|---|---|---|---|---|---|---|---|")
    worst, share = float("inf"), [0, 0]
    for size, data in zip(given.sizes.split(","), images, strict=True):
        times, cpu = ([], []), ([], [])
        for _ in range(given.rounds + 1):
            begin, used = time.perf_counter(), time.process_time()
            want = sahi_boxes(model, data)
            times[0].append(time.perf_counter() - begin)
            cpu[0].append(time.process_time() - used)
            begin, used = time.perf_counter(), cpu_seconds(server)
            got, tiles = fovea_boxes(given.port, given.model, data)
            times[1].append(time.perf_counter() - begin)
            cpu[1].append(cpu_seconds(server) - used)
        sahi, fovea = (statistics.median(t[1:]) for t in times)  # the first round warms both up
        used = [statistics.median(t[1:]) for t in cpu]
        paired = pairs(want, got)
        share[0] += paired
        share[1] += max(len(want), len(got))
        worst = min(worst, sahi / fovea)
        print(f"| {size} | {tiles} | {len(want)}, {len(got)} | {paired} | {1000 * sahi:.0f} ms | {1000 * fovea:.0f} ms | {sahi / fovea:.2f} | {1000 * used[0]:.0f} ms, {1000 * used[1]:.0f} ms |", flush=True)
    same = share[0] / max(1, share[1])
    print(f"paired: {100 * same:.2f} % of {share[1]} boxes; at least {worst:.2f} times as fast")
    if same < 0.99 or worst < 2:
        sys.exit("below 99 % or 2 times")


if __name__ == "__main__":
    main()
