#!/usr/bin/env python3
"""Makes the golden answers beside this file from real models and images: python make.py MODELS IMAGES.

Needs numpy, Pillow and onnxruntime. MODELS holds NAME.onnx, IMAGES holds scenes/bus.jpg and
classes/zebra.jpeg. Each golden is JSON with the raw outputs of one image and the answer, worked out here in
numpy, independently of the Go code:

- classify-*.json: scores as base64 of their dtype; top is [class, probability], best first.
- yolox-bus.json: rows are the cells whose objectness is above 0.01, as gzip of float16; every other cell is
  zero. The boxes come from the whole, unrounded output.
- boxes-bus.json: boxes and scores as float32, labels as int64.
"""
import base64
import gzip
import json
import pathlib
import sys

import numpy as np
import onnxruntime
from PIL import Image

HERE = pathlib.Path(__file__).parent


def run(models, name, feed):
    session = onnxruntime.InferenceSession(str(models / f"{name}.onnx"), providers=["CPUExecutionProvider"])
    return session.run(None, feed)


def save(name, golden):
    (HERE / name).write_text(json.dumps(golden, indent=1) + "\n")


def text(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def cropped(path):
    image = Image.open(path).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize([round(side * scale) for side in image.size], Image.BILINEAR)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    return np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32)


def classify(models, images):
    pixels = cropped(images / "classes" / "zebra.jpeg")
    rgb = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    logits = run(models, "mobilenetv2-12-int8", {"input": rgb.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
    exponents = np.exp(logits.astype(np.longdouble))
    save_classes("classify-softmax.json", "float32", logits, exponents / exponents.sum())
    bgr = pixels[:, :, ::-1] - [104, 117, 123]
    scores = run(models, "squeezenet-fp16", {"data_0": bgr.transpose(2, 0, 1)[None].astype(np.float16)})[0][0]
    save_classes("classify-float16.json", "float16", scores, scores.astype(np.float64).ravel())


def save_classes(name, dtype, scores, probabilities):
    order = np.argsort(-probabilities, kind="stable")[:5]
    save(name, {
        "dtype": dtype, "shape": list(scores.shape), "scores": text(scores),
        "top": [[int(i), float(probabilities[i])] for i in order],
    })


def overlap(box, others):
    left, top = np.maximum(box[:2], others[:, :2]).T
    right, bottom = np.minimum(box[2:], others[:, 2:]).T
    shared = np.clip(right - left, 0, None) * np.clip(bottom - top, 0, None)
    area = lambda b: (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
    return shared / (area(box) + area(others) - shared)


def yolox(models, image):
    ratio = min(416 / image.width, 416 / image.height)
    size = (int(image.width * ratio), int(image.height * ratio))
    canvas = np.full((416, 416, 3), 114, np.uint8)
    canvas[: size[1], : size[0]] = np.asarray(image.resize(size, Image.BILINEAR))
    feed = canvas[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32)
    raw = run(models, "yolox-nano", {"images": feed})[0][0]
    grids, strides = [], []
    for stride in (8, 16, 32):
        side = 416 // stride
        x, y = np.meshgrid(np.arange(side), np.arange(side))
        grids.append(np.stack([x.ravel(), y.ravel()], 1))
        strides.append(np.full((side * side, 1), stride))
    grid, stride = np.concatenate(grids), np.concatenate(strides)
    center, half = (raw[:, :2] + grid) * stride, np.exp(raw[:, 2:4]) * stride / 2
    corners = np.concatenate([center - half, center + half], 1)
    classes = raw[:, 5:].argmax(1)
    scores = raw[:, 4] * raw[:, 5:].max(1)
    boxes = []
    for c in np.unique(classes):
        left = np.flatnonzero((classes == c) & (scores >= 0.3))
        left = left[np.argsort(-scores[left], kind="stable")]
        while len(left):
            best, left = left[0], left[1:]
            left = left[overlap(corners[best], corners[left]) <= 0.45]
            on_image = np.clip(corners[best] / ratio, 0, [image.width, image.height] * 2)
            boxes.append([int(c), float(scores[best]), *map(float, on_image)])
    cells = np.flatnonzero(raw[:, 4] > 0.01)
    packed = gzip.compress(raw[cells].astype(np.float16).tobytes(), 9, mtime=0)
    save("yolox-bus.json", {
        "image": image.size, "input": [416, 416], "ratio": ratio, "cells": list(raw.shape),
        "indices": cells.tolist(), "rows": base64.b64encode(packed).decode(),
        "boxes": sorted(boxes, key=lambda b: -b[1]),
    })


def finished(models, image):
    pixels = np.asarray(image.resize((320, 320), Image.BILINEAR), np.float32) / 255
    feed = {"images": pixels.transpose(2, 0, 1)[None], "orig_target_sizes": np.array([image.size], np.int64)}
    labels, boxes, scores = (output[0] for output in run(models, "deimv2-atto", feed))
    on_image = np.clip(boxes, 0, [image.width, image.height] * 2)
    order = [i for i in np.argsort(-scores, kind="stable") if scores[i] >= 0.4]
    save("boxes-bus.json", {
        "image": image.size, "input": [320, 320], "n": len(scores),
        "outputs": {"labels": text(labels), "boxes": text(boxes), "scores": text(scores)},
        "boxes": [[int(labels[i]), float(scores[i]), *map(float, on_image[i])] for i in order],
    })


if __name__ == "__main__":
    models, images = map(pathlib.Path, sys.argv[1:])
    classify(models, images)
    bus = Image.open(images / "scenes" / "bus.jpg").convert("RGB")
    yolox(models, bus)
    finished(models, bus)
