#!/usr/bin/env python3
"""Makes decoders.json: outputs of every decoder from random numbers, and what they mean: python make_decoders.py

Needs numpy (made with 2.4.6). Written after the formulas of the exporters (Ultralytics' non_max_suppression, YOLOv5's Detect,
post_process_object_detection of Hugging Face's DETR and RT-DETR, YOLACT's fast NMS), in float64 and plain loops; it shares
nothing with the Go code. A case holds the definition as in model.yaml, the parameters of a request, the outputs (float32 or
int64, in base64), and the boxes [class, score, x1, y1, x2, y2] in pixels of the image.
"""
import base64
import json
import pathlib

import numpy as np

LABELS = ["cat", "dog", "fire ant", "bee"]
C = len(LABELS)
W, H = 96, 64  # input
# The image of 160×100 lies in the input at 0.6, with 2 pixels above and below.
IMAGE = {"Width": 160, "Height": 100, "InputW": W, "InputH": H, "ScaleX": 0.6, "ScaleY": 0.6, "OffsetX": 0, "OffsetY": 2}
rng = np.random.default_rng(15)
cases = []


def text(a):
    return {"shape": list(a.shape), "dtype": str(a.dtype), "data": base64.b64encode(np.ascontiguousarray(a).tobytes()).decode()}


def sigmoid(v):
    return 1 / (1 + np.exp(-np.asarray(v, np.float64)))


def logit(p):
    return np.log(p) - np.log1p(-p)


def centers(n):
    """Boxes in a few heaps, in pixels of the input, without any whose IoU with another is near a threshold."""
    heap = rng.uniform([10, 8, 12, 12], [86, 56, 40, 30], (6, 4))
    return heap[rng.integers(0, 6, n)] + rng.uniform(-3, 3, (n, 4))


def corners(b):
    return np.concatenate([b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2], 1)


def overlap(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


def suppress(found, iou, mode="greedy", agnostic=False, candidates=30000):
    """found: (score, class, box) in the order of the output."""
    order = sorted(range(len(found)), key=lambda i: (-found[i][0], i))[:candidates]
    kept, seen = [], []
    for i in order:
        rivals = seen if mode == "fast" else kept
        if not any((agnostic or found[j][1] == found[i][1]) and overlap(found[j][2], found[i][2]) > iou for j in rivals):
            kept.append(i)
        seen.append(i)
    return [found[i] for i in kept]


def on_image(found, limit, original=False):
    out = []
    for score, cls, (x1, y1, x2, y2) in sorted(found, key=lambda f: -f[0]):
        if not original:
            x1, x2, y1, y2 = x1 / 0.6, x2 / 0.6, (y1 - 2) / 0.6, (y2 - 2) / 0.6
        x1, x2 = np.clip([x1, x2], 0, IMAGE["Width"])
        y1, y2 = np.clip([y1, y2], 0, IMAGE["Height"])
        if x2 > x1 and y2 > y1:
            out.append([int(cls), *(float(v) for v in (score, x1, y1, x2, y2))])
    return out[:limit]


def case(name, output, outputs, found, params=None, limit=100, labels=LABELS, original=False):
    cases.append({"name": name, "output": output, "labels": labels, "params": params or {},
                  "outputs": {k: text(v) for k, v in outputs.items()}, "boxes": on_image(found, limit, original)})


def best(boxes, scores, t, labels=None):
    """The best class of each box, which must be wanted and reach its threshold."""
    t = np.broadcast_to(t, scores.shape[1])
    out = []
    for b, s in zip(boxes, scores):
        c = int(np.argmax(s))
        if s[c] >= t[c] and (labels is None or c in labels):
            out.append((float(s[c]), c, b))
    return out


def every(boxes, scores, t):
    return [(float(s[c]), c, b) for b, s in zip(boxes, scores) for c in range(len(s)) if s[c] >= t]


def f32(a):
    return np.asarray(a, np.float32)


def yolo():
    n = 60
    b, s = f32(centers(n)), f32(rng.uniform(0, 1, (n, C)) ** 2)
    both = np.concatenate([b, s], 1)
    xyxy, p = corners(b.astype(np.float64)), s.astype(np.float64)
    turned = {"output0": np.ascontiguousarray(both.T)[None]}
    case("yolo, boxes in columns", {"decode": "yolo"}, turned, suppress(best(xyxy, p, 0.3), 0.45))
    case("yolo, boxes in rows", {"decode": "yolo"}, {"output0": both[None]}, suppress(best(xyxy, p, 0.3), 0.45))
    case("yolo, across classes", {"decode": "yolo", "class_agnostic": True, "iou_threshold": 0.6}, turned, suppress(best(xyxy, p, 0.3), 0.6, agnostic=True))
    case("yolo, several classes", {"decode": "yolo", "multi_label": True}, turned, suppress(every(xyxy, p, 0.3), 0.45))
    case("yolo, several classes in rows", {"decode": "yolo", "multi_label": True}, {"output0": both}, suppress(every(xyxy, p, 0.3), 0.45))
    case("yolo, fast", {"decode": "yolo", "nms": "fast", "score_threshold": 0.1}, turned, suppress(best(xyxy, p, 0.1), 0.45, "fast"))
    case("yolo, all boxes", {"decode": "yolo", "nms": "none", "max_boxes": 25}, turned, best(xyxy, p, 0.3), limit=25)
    case("yolo, few candidates", {"decode": "yolo", "max_candidates": 20}, turned, suppress(best(xyxy, p, 0.3), 0.45, candidates=20))
    case("yolo, thresholds of classes", {"decode": "yolo", "class_thresholds": [{"label": "dog", "score": 0.7}, {"label": "bee", "score": 0.1}]}, turned,
         suppress(best(xyxy, p, [0.3, 0.7, 0.3, 0.1]), 0.45))
    case("yolo, wanted classes", {"decode": "yolo", "class_agnostic": True}, turned, suppress(best(xyxy, p, 0.3, {1, 2}), 0.45, agnostic=True),
         {"Classes": ["fire ant", "1"]})
    case("yolo, a few boxes", {"decode": "yolo"}, turned, suppress(best(xyxy, p, 0.3), 0.45), {"MaxBoxes": 3}, limit=3)
    unit = np.concatenate([f32(xyxy / [W, H, W, H]), f32(logit(np.clip(p, 1e-6, 1 - 1e-6)))], 1)
    case("yolo, logits and corners from 0 to 1", {"decode": "yolo", "activation": "sigmoid", "box_format": "xyxy", "box_space": "unit"},
         {"output0": np.ascontiguousarray(unit.T)}, suppress(best(unit[:, :4].astype(np.float64) * [W, H, W, H], sigmoid(unit[:, 4:]), 0.3), 0.45))
    case("yolo, a background class", {"decode": "yolo", "class_first": 1}, turned, suppress(best(xyxy, p[:, 1:], 0.3), 0.45), labels=LABELS[1:])
    objectness = f32(rng.uniform(0.2, 1, (n, 1)))
    five = np.concatenate([b, objectness, s], 1)[None]
    q = (objectness * s).astype(np.float64)
    case("yolov5", {"decode": "yolov5"}, {"output0": five}, suppress(best(xyxy, q, 0.3), 0.45))
    case("yolov5, several classes", {"decode": "yolov5", "multi_label": True, "score_threshold": 0.2}, {"output0": five}, suppress(every(xyxy, q, 0.2), 0.45))


def yolov5_raw():
    anchors = [[[10, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]]]
    outputs, first, found = {}, {}, []
    for i, stride in enumerate((16, 32)):
        h, w = H // stride, W // stride
        raw = f32(rng.normal(0, 1.5, (3, h, w, 5 + C)))
        v = sigmoid(raw)
        for a in range(3):
            for y in range(h):
                for x in range(w):
                    r = v[a, y, x]
                    cx, cy = (2 * r[0] - 0.5 + x) * stride, (2 * r[1] - 0.5 + y) * stride
                    bw, bh = (2 * r[2]) ** 2 * anchors[i][a][0], (2 * r[3]) ** 2 * anchors[i][a][1]
                    c = int(np.argmax(r[5:]))
                    if r[4] * r[5 + c] >= 0.3:
                        found.append((r[4] * r[5 + c], c, (cx - bw / 2, cy - bh / 2, cx + bw / 2, cy + bh / 2)))
        outputs[f"p{stride}"] = raw
        first[f"p{stride}"] = np.ascontiguousarray(raw.transpose(0, 3, 1, 2)).reshape(3 * (5 + C), h, w)
    output = {"decode": "yolov5_raw", "strides": [16, 32], "names": ["p16", "p32"], "anchors": [float(v) for v in np.ravel(anchors)]}
    case("yolov5_raw", output, outputs, suppress(found, 0.45))
    case("yolov5_raw, channels first", output, first, suppress(found, 0.45))


def rows():
    n = 30
    b = f32(corners(centers(n)))
    s, c = f32(rng.uniform(0.05, 1, (n, 1))), rng.integers(0, C, (n, 1))
    wide = b.astype(np.float64)
    found = [(float(s[i, 0]), int(c[i, 0]), wide[i]) for i in range(n) if s[i, 0] >= 0.3]
    end = np.concatenate([b, s, f32(c)], 1)
    padded = np.concatenate([end, np.zeros((5, 6), np.float32)])
    case("rows of x1 y1 x2 y2 score class", {"decode": "rows"}, {"output0": padded[None]}, found)
    case("rows with suppression", {"decode": "rows", "nms": "greedy", "iou_threshold": 0.3}, {"output0": padded}, suppress(found, 0.3))
    case("rows, any threshold", {"decode": "rows"}, {"output0": padded}, [(float(s[i, 0]), int(c[i, 0]), wide[i]) for i in range(n)], {"Score": 0})
    seven = np.concatenate([np.zeros((n, 1)), b, f32(c), s], 1)
    seven[::4, 0] = 1  # of another image
    case("rows of YOLOv7", {"decode": "rows", "columns": ["batch", "x1", "y1", "x2", "y2", "class", "score"]}, {"output": f32(seven)},
         [(float(s[i, 0]), int(c[i, 0]), wide[i]) for i in range(n) if s[i, 0] >= 0.3 and i % 4])
    paddle = np.concatenate([f32(c), s, b], 1)
    paddle = np.concatenate([paddle, np.full((3, 6), -1, np.float32)])
    case("rows of PaddleDetection", {"decode": "rows", "columns": ["class", "score", "x1", "y1", "x2", "y2"], "box_space": "original"},
         {"multiclass_nms3_0.tmp_0": paddle}, found, original=True)
    case("rows of mmdeploy", {"decode": "rows", "columns": ["x1", "y1", "x2", "y2", "score"], "name": "dets", "classes": "labels"},
         {"dets": np.concatenate([b, s], 1)[None], "labels": c[:, 0].astype(np.int64)[None]}, found)


def detr():
    n = 20
    b = centers(n) / [W, H, W, H]
    logits = f32(rng.normal(-1, 2, (n, C)))
    xyxy = corners(f32(b).astype(np.float64) * [W, H, W, H])
    out = {"logits": logits, "pred_boxes": f32(b)}
    names = {"decode": "detr", "boxes": "pred_boxes", "scores": "logits"}
    case("detr, sigmoid", {**names, "max_boxes": 20}, out, every(xyxy, sigmoid(logits), 0.3), limit=20)
    case("detr, an unused class", {**names, "class_first": 1}, out, every(xyxy, sigmoid(logits[:, 1:]), 0.3), labels=LABELS[1:])
    e = np.exp(logits.astype(np.float64))
    e /= e.sum(1, keepdims=True)
    case("detr, softmax", {**names, "activation": "softmax"}, out, best(xyxy, e[:, :-1], 0.3), labels=LABELS[:-1])


def boxes():
    n = 40
    b = corners(centers(n))
    unit = f32(b / [W, H, W, H])
    s = f32(rng.uniform(0, 1, (n, C + 1)))
    wide, p = unit.astype(np.float64) * [W, H, W, H], s.astype(np.float64)
    y_first = np.ascontiguousarray(unit[:, [1, 0, 3, 2]])
    numbers = f32(rng.integers(0, C + 1, n))
    case("boxes of the Object Detection API", {"decode": "boxes", "boxes": "b", "scores": "s", "classes": "c", "box_format": "yxyx", "box_space": "unit", "class_first": 1},
         {"b": y_first, "s": np.ascontiguousarray(s[:, 0]), "c": numbers},
         [(p[i, 0], int(numbers[i]) - 1, wide[i]) for i in range(n) if p[i, 0] >= 0.3 and numbers[i] > 0])
    table = {"decode": "boxes", "boxes": "b", "scores": "s", "box_space": "unit", "class_first": 1, "iou_threshold": 0.5}
    case("boxes with scores of all classes", table, {"b": unit, "s": s}, suppress(best(wide, p[:, 1:], 0.3), 0.5))
    case("boxes, several classes", {**table, "multi_label": True, "score_threshold": 0.6}, {"b": unit, "s": s}, suppress(every(wide, p[:, 1:], 0.6), 0.5))


if __name__ == "__main__":
    for make in (yolo, yolov5_raw, rows, detr, boxes):
        make()
    golden = {"image": IMAGE, "cases": cases}
    (pathlib.Path(__file__).parent / "decoders.json").write_text(json.dumps(golden) + "\n")
    print(len(cases), [len(c["boxes"]) for c in cases])
