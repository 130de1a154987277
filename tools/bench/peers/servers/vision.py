"""Preprocessing and postprocessing shared by the peers. The parameters are those of models/*/model.yaml.

Everything here is the fastest form in plain OpenCV, Pillow and NumPy that was found: cv2.dnn.blobFromImage in place of NumPy
arithmetic, and only the part of the image that the model sees is resized.
"""

import os
import pathlib

import cv2
import numpy as np
import onnxruntime as ort
from PIL import Image

THREADS = int(os.environ.get("PEER_THREADS", "1"))  # of ONNX Runtime, inside an operator
WORKERS = int(os.environ.get("PEER_WORKERS", "2"))  # processes
BATCH = int(os.environ.get("PEER_BATCH", "8"))  # images a batch may hold


def decode(data):
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("not an image")
    return image


def by_area(image, left, top, side):
    """224×224 of a square, shrunk by area as OpenCV does."""
    shrinks = side > 224
    square = image[round(top) : round(top + side), round(left) : round(left + side)]
    return cv2.resize(square, (224, 224), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def by_pillow(image, left, top, side):
    """224×224 of a square by Pillow's bicubic filter, with which the model was trained."""
    box = (left, top, left + side, top + side)
    return np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC, box))


class Classifier:
    """The shorter side is brought to 256, and 224×224 are cut from the middle."""

    def __init__(self, mean, std, cut):
        self.mean, self.cut = mean, cut
        self.scale = std[0]
        self.std = None if len(set(std)) == 1 else (np.float32(std) / std[0]).reshape(3, 1, 1)

    def prepare(self, data):
        image = decode(data)
        height, width = image.shape[:2]
        scale = min(height, width) / 256
        left, top = (round((int(n / scale) - 224) / 2) * scale for n in (width, height))
        image = self.cut(image, left, top, 224 * scale)
        blob = cv2.dnn.blobFromImage(image, 1 / self.scale, mean=self.mean, swapRB=True)
        if self.std is not None:
            blob /= self.std
        return blob, None

    def answer(self, logits, _, labels):
        scores = np.exp(logits - logits.max())
        scores /= scores.sum()
        best = np.argpartition(scores, -5)[-5:]
        best = best[np.argsort(-scores[best])]
        return {"top": [{"class": int(i), "label": labels[i], "score": float(scores[i])} for i in best]}


class YOLOX:
    """The image is scaled to fit into 416×416 at the top left; a grid of three strides, then suppression by class."""

    SIZE, SCORE, IOU = 416, 0.3, 0.45

    def __init__(self):
        cells, strides = [], []
        for stride in (8, 16, 32):
            n = self.SIZE // stride
            y, x = np.mgrid[:n, :n]
            cells.append(np.stack([x.ravel(), y.ravel()], 1))
            strides.append(np.full((n * n, 1), stride))
        self.cells = np.concatenate(cells).astype(np.float32)
        self.strides = np.concatenate(strides).astype(np.float32)

    def prepare(self, data):
        image = decode(data)
        height, width = image.shape[:2]
        scale = min(self.SIZE / height, self.SIZE / width)
        small = cv2.resize(image, (int(width * scale), int(height * scale)), interpolation=cv2.INTER_LINEAR)
        canvas = np.full((self.SIZE, self.SIZE, 3), 114, np.uint8)
        canvas[: small.shape[0], : small.shape[1]] = small
        return cv2.dnn.blobFromImage(canvas), (scale, width, height)

    def answer(self, rows, fit, labels):
        scale, width, height = fit
        likely = rows[:, 4] > self.SCORE  # no class's score is above the objectness
        rows, cells, strides = rows[likely], self.cells[likely], self.strides[likely]
        scores = rows[:, 5:] * rows[:, 4:5]
        classes = scores.argmax(1)
        scores = scores.max(1)
        size = np.exp(rows[:, 2:4]) * strides / scale
        corner = (rows[:, :2] + cells) * strides / scale - size / 2
        boxes = np.concatenate([corner, size], 1)
        kept = cv2.dnn.NMSBoxesBatched(boxes, scores, classes, self.SCORE, self.IOU)
        boxes[:, 2:] += corner
        boxes = boxes.clip(0, (width, height, width, height))
        return {
            "width": width,
            "height": height,
            "boxes": [
                {
                    "class": int(classes[i]),
                    "label": labels[classes[i]],
                    "score": float(scores[i]),
                    **dict(zip(("x1", "y1", "x2", "y2"), map(float, boxes[i]))),
                }
                for i in kept
            ],
        }


PIPELINES = {
    "efficientnet-lite0": lambda: Classifier((127, 127, 127), (128,), by_pillow),
    "mobilenetv2-12-int8": lambda: Classifier(
        (0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255), by_area
    ),
    "yolox-nano": YOLOX,
}


class Model:
    """A model of the folder PEER_MODEL: model.onnx is in its version 1."""

    def __init__(self):
        folder = pathlib.Path(os.environ["PEER_MODEL"])
        cv2.setNumThreads(THREADS)
        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning takes cores from the others
        if os.environ.get("PEER_EXACT_INT8"):  # what Fovea sets by default where sums of int8 products saturate
            options.add_session_config_entry("session.x64quantprecision", "1")
        self.session = ort.InferenceSession(folder / "1" / "model.onnx", options, providers=["CPUExecutionProvider"])
        self.labels = (folder / "labels.txt").read_text().splitlines()
        self.pipeline = PIPELINES[folder.name]()
        self.input = self.session.get_inputs()[0]

    def prepare(self, data):
        """The input [1,3,height,width] of an image's bytes, and what leads from the output back to the image."""
        return self.pipeline.prepare(data)

    def run(self, inputs):
        """The output's rows for a list of inputs; in one run if the model takes more than one."""
        if len(inputs) > 1 and self.input.shape[0] == 1:
            return [row for one in inputs for row in self.session.run(None, {self.input.name: one})[0]]
        return self.session.run(None, {self.input.name: np.concatenate(inputs) if len(inputs) > 1 else inputs[0]})[0]

    def answer(self, row, fit):
        return self.pipeline.answer(row, fit, self.labels)
