#!/usr/bin/env python3
"""Times the usual decoding of YOLOv8's output in Python on the data of BenchmarkYOLO: python bench_yolo.py

Needs numpy 2.5 and opencv-python-headless 5.0 (or others). Prints the best of several rounds on one thread, and the number of boxes.
"""
import time

import cv2
import numpy as np

N, CLASSES, OBJECTS = 8400, 80, 400


def noise(index):
    """The finalizer of MurmurHash3, from 0 to 1."""
    h = np.asarray(index, np.uint32)
    with np.errstate(over="ignore"):
        h = (h ^ h >> np.uint32(16)) * np.uint32(0x85EBCA6B)
        h = (h ^ h >> np.uint32(13)) * np.uint32(0xC2B2AE35)
        h = h ^ h >> np.uint32(16)
    return h.astype(np.float64) / 2**32


def scene(classes):
    """YOLOv8's [84, 8400]: about 3000 boxes around 400 objects, and background."""
    i = np.arange(N)
    thing = (noise(i + 2_000_000) * OBJECTS).astype(int)
    near = noise(i + 1_000_000) < 0.35
    out = np.empty((4 + CLASSES, N), np.float32)
    for k, (low, high) in enumerate(((20, 620), (20, 620), (16, 120), (16, 120))):
        own = low + (high - low) * noise(thing * 4 + k + 5_000_000)
        other = low + (high - low) * noise(i * 4 + k + 4_000_000)
        out[k] = np.where(near, own + 6 * (noise(i * 4 + k + 3_000_000) - 0.5), other)
    c, col = np.meshgrid(np.arange(CLASSES), i, indexing="ij")
    out[4:] = 0.02 * noise(col * CLASSES + c + 10_000_000)
    out[4 + thing[near] % classes, i[near]] = 0.3 + 0.6 * noise(i[near] + 6_000_000)
    return out


def decode(out, score=0.25, iou=0.45, limit=300):
    rows = out.T
    scores = rows[:, 4:]
    classes = scores.argmax(1)
    best = scores.max(1)
    keep = best >= score
    xywh, best, classes = rows[keep, :4], best[keep], classes[keep]
    boxes = np.concatenate([xywh[:, :2] - xywh[:, 2:] / 2, xywh[:, 2:]], 1)
    kept = cv2.dnn.NMSBoxesBatched(boxes, best, classes, score, iou)[:limit]
    return boxes[kept], best[kept], classes[kept]


if __name__ == "__main__":
    cv2.setNumThreads(1)
    for classes in (CLASSES, 1):
        out = scene(classes)
        times = []
        for _ in range(30):
            start = time.perf_counter()
            boxes, _, _ = decode(out)
            times.append(time.perf_counter() - start)
        print(f"{classes} classes: {min(times) * 1e3:.3f} ms, {len(boxes)} boxes")
