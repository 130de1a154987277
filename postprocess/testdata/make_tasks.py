#!/usr/bin/env python3
"""Makes tasks.json: outputs of the tasks with masks, points, angles and maps from random numbers, and what they mean: python make_tasks.py

Needs numpy (made with 2.4.6). Written after the exporters' own code, in float64 and plain loops over all pixels (Ultralytics'
process_mask_native, crop_mask and batch_probiou; Detectron2's paste_masks_in_image; post_process_semantic_segmentation of
Hugging Face; OpenCV's face_detect.cpp); it shares nothing with the Go code. A case holds the task and the output as in model.yaml, the
transform, the outputs (in base64), and the prediction: boxes as [class, score, x1, y1, x2, y2] with what they have besides, or a map. Masks are the bits of
the image's pixels, line by line, in base64.
"""
import base64
import json
import math
import pathlib

import numpy as np

rng = np.random.default_rng(19)
cases = []


def text(a):
    return {"shape": list(a.shape), "dtype": str(a.dtype), "data": b64(np.ascontiguousarray(a).tobytes())}


def b64(data):
    return base64.b64encode(data).decode()


def transform(w, h, iw, ih, sx, sy, ox, oy):
    return {"Width": w, "Height": h, "InputW": iw, "InputH": ih, "ScaleX": sx, "ScaleY": sy, "OffsetX": ox, "OffsetY": oy}


LETTERBOX = transform(160, 100, 96, 64, 0.6, 0.6, 0, 2)
STRETCH = transform(50, 70, 96, 64, 96 / 50, 64 / 70, 0, 0)


def case(name, task, output, t, outputs, labels=(), params=None, **want):
    cases.append({"name": name, "task": task, "output": output, "labels": list(labels), "params": params or {}, "transform": t,
                  "outputs": {k: text(v) for k, v in outputs.items()}, **want})


def to_image(t, x, y, clip=True):
    x, y = (x - t["OffsetX"]) / t["ScaleX"], (y - t["OffsetY"]) / t["ScaleY"]
    if clip:
        x, y = min(max(x, 0), t["Width"]), min(max(y, 0), t["Height"])
    return float(x), float(y)


def overlap(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return 0 if w <= 0 or h <= 0 else w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


def xyxy(b):
    return [b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2]


def greedy(found, iou):
    """found: (score, class, xyxy, index)."""
    kept = []
    for f in sorted(found, key=lambda f: -f[0]):
        if not any(k[1] == f[1] and overlap(k[2], f[2]) > iou for k in kept):
            kept.append(f)
    return kept


def on_image(t, f):
    x1, y1 = to_image(t, f[2][0], f[2][1])
    x2, y2 = to_image(t, f[2][2], f[2][3])
    return [int(f[1]), float(f[0]), x1, y1, x2, y2]


def heaps(n, t, heaps=5):
    """Boxes cx, cy, w, h in a few heaps, in pixels of the input."""
    w, h = t["InputW"], t["InputH"]
    heap = rng.uniform([.15 * w, .15 * h, .15 * w, .15 * h], [.85 * w, .85 * h, .5 * w, .5 * h], (heaps, 4))
    return np.float32(heap[rng.integers(0, heaps, n)] + rng.uniform(-3, 3, (n, 4)))


def scored(n, classes):
    s = rng.uniform(0, 0.2, (n, classes))
    s[np.arange(n), rng.integers(0, classes, n)] = rng.uniform(0.1, 0.99, n)
    return np.float32(s)


def bilinear(z, u, v):
    """The value of a map at column u and line v, where the center of the first is 0; the border continues."""
    h, w = z.shape
    i, j = math.floor(u), math.floor(v)
    fu, fv = u - i, v - j
    at = lambda j, i: float(z[min(max(j, 0), h - 1), min(max(i, 0), w - 1)])
    return (at(j, i) * (1 - fu) + at(j, i + 1) * fu) * (1 - fv) + (at(j + 1, i) * (1 - fu) + at(j + 1, i + 1) * fu) * fv


def over_input(z, t, x, y):
    """The value of a map over the input at a pixel of the image."""
    h, w = z.shape
    px, py = (x + .5) * t["ScaleX"] + t["OffsetX"], (y + .5) * t["ScaleY"] + t["OffsetY"]
    return bilinear(z, px * w / t["InputW"] - .5, py * h / t["InputH"] - .5)


def bits(mask):
    return b64(np.packbits(mask.astype(np.uint8)).tobytes())


# ---- instance segmentation
def smooth(shape):
    """A map with blobs, not noise."""
    z = rng.normal(0, 1, shape)
    for _ in range(3):
        for axis in (-1, -2):
            z = (np.roll(z, 1, axis) + 2 * z + np.roll(z, -1, axis)) / 4
    return np.float32(z * 4)


def prototypes(t, turned):
    n, c, m, labels = 60, 3, 6, ["apple", "bee", "cat"]
    b, s, f, protos = heaps(n, t), scored(n, c), np.float32(rng.normal(0, 1, (n, m))), smooth((m, t["InputH"] // 4, t["InputW"] // 4))
    found = [(s[i].max(), s[i].argmax(), xyxy(b[i].astype(float)), i) for i in range(n) if s[i].max() >= .25]
    boxes, masks = [], []
    for d in greedy(found, .5):
        box = on_image(t, d)
        z = np.tensordot(f[d[3]].astype(float), protos.astype(float), 1)
        mask = np.zeros((t["Height"], t["Width"]), bool)
        for y in range(t["Height"]):
            for x in range(t["Width"]):
                if box[2] <= x < box[4] and box[3] <= y < box[5]:
                    mask[y, x] = over_input(z, t, x, y) > 0
        if mask.any():
            boxes.append(box)
            masks.append(bits(mask))
    table = np.concatenate([b, s, f], 1)
    case(f"prototypes {t['Width']}x{t['Height']}", "instance_segmentation", {"decode": "yolo", "name": "t", "masks": "p", "score_threshold": .25, "iou_threshold": .5}, t,
         {"t": table if not turned else np.ascontiguousarray(table.T), "p": protos}, labels, boxes=boxes, masks=masks)


prototypes(LETTERBOX, True)
prototypes(STRETCH, False)


def end_to_end(t):
    n, m = 12, 4
    b, protos = heaps(n, t, 12), smooth((m, 16, 24))
    corners = np.array([xyxy(x) for x in b.astype(float)])
    rows = np.float32(np.concatenate([corners, rng.uniform(.05, .99, (n, 1)), rng.integers(0, 2, (n, 1)), rng.normal(0, 1, (n, m))], 1))
    boxes, masks = [], []
    for i in sorted(range(n), key=lambda i: -rows[i, 4]):
        if rows[i, 4] < .25:
            continue
        box = on_image(t, (rows[i, 4], rows[i, 5], rows[i, :4].astype(float), i))
        z = np.tensordot(rows[i, 6:].astype(float), protos.astype(float), 1)
        mask = np.array([[box[2] <= x < box[4] and box[3] <= y < box[5] and over_input(z, t, x, y) > 0 for x in range(t["Width"])] for y in range(t["Height"])])
        if mask.any():
            boxes.append(box)
            masks.append(bits(mask))
    case("end to end", "instance_segmentation", {"decode": "rows", "name": "t", "masks": "p", "score_threshold": .25}, t, {"t": rows, "p": protos}, ["a", "b"], boxes=boxes, masks=masks)


end_to_end(LETTERBOX)


def mask_rcnn(t, classes, logits):
    n, side = 6, 9
    b = np.float32([xyxy(x) for x in heaps(n, t, n).astype(float)])
    s, c = np.float32(np.sort(rng.uniform(.1, .99, n))[::-1]), rng.integers(0, 3, n)
    p = 1 / (1 + np.exp(-smooth((n, classes, side, side))))
    m = np.float32(np.log(p / (1 - p)) if logits else p)
    boxes, masks = [], []
    for i in range(n):
        if s[i] < .3:
            continue
        x1, y1 = to_image(t, *b[i, :2].astype(float), clip=False)
        x2, y2 = to_image(t, *b[i, 2:].astype(float), clip=False)
        box = on_image(t, (s[i], c[i], b[i].astype(float), i))
        z = np.pad(p[i, c[i] + 1 if classes > 1 else 0], 1)
        mask = np.zeros((t["Height"], t["Width"]), bool)
        for y in range(math.floor(box[3]), math.ceil(box[5])):
            for x in range(math.floor(box[2]), math.ceil(box[4])):
                mask[y, x] = bilinear(z, (x + .5 - x1) / (x2 - x1) * side + .5, (y + .5 - y1) / (y2 - y1) * side + .5) > .5
        if mask.any():
            boxes.append(box)
            masks.append(bits(mask))
    case(f"masks over boxes, {classes} classes" + (", logits" if logits else ""), "instance_segmentation",
         {"decode": "boxes", "boxes": "b", "scores": "s", "classes": "c", "masks": "m", "box_space": "input", "class_first": 1, "mask_activation": "sigmoid" if logits else "none"}, t,
         {"b": b, "s": s, "c": np.int64(c + 1), "m": m}, ["a", "b", "c"], boxes=boxes, masks=masks)


mask_rcnn(LETTERBOX, 1, False)
mask_rcnn(STRETCH, 4, False)
mask_rcnn(LETTERBOX, 1, True)


def masks_over_input(t):
    n = 4
    b = np.float32([xyxy(x) for x in heaps(n, t, n).astype(float)])
    s = np.float32([.9, .8, .6, .1])
    m = np.float32(smooth((n, 16, 24)) / 4 + .3)
    boxes, masks = [], []
    for i in range(3):
        boxes.append(on_image(t, (s[i], 0, b[i].astype(float), i)))
        masks.append(bits(np.array([[over_input(m[i], t, x, y) > .5 for x in range(t["Width"])] for y in range(t["Height"])])))
    case("masks over the input", "instance_segmentation", {"decode": "boxes", "boxes": "b", "scores": "s", "masks": "m", "box_space": "input", "mask_space": "input"}, t,
         {"b": b, "s": s, "m": m[:, None]}, ["a"], boxes=boxes, masks=masks)


masks_over_input(LETTERBOX)


# ---- pose
def pose(values):
    t, n, k = LETTERBOX, 50, 5
    b, s = heaps(n, t), scored(n, 2)
    p = np.float32(rng.uniform([-5, -5, 0][:values], [100, 70, 1][:values], (n, k, values)))
    found = [(s[i].max(), s[i].argmax(), xyxy(b[i].astype(float)), i) for i in range(n) if s[i].max() >= .25]
    boxes, points = [], []
    for d in greedy(found, .45):
        boxes.append(on_image(t, d))
        points.append([[*to_image(t, *map(float, q[:2])), *map(float, q[2:])] for q in p[d[3]]])
    table = np.concatenate([b, s, p.reshape(n, -1)], 1)
    case(f"points of {values}", "pose", {"decode": "yolo", "keypoints": list("abcde"), "keypoint_values": values, "score_threshold": .25}, t,
         {"t": np.ascontiguousarray(table.T)}, ["x", "y"], boxes=boxes, points=points)


pose(2)
pose(3)


def keypoint_rcnn():
    t, n, k = STRETCH, 5, 4
    b = np.float32([xyxy(x) for x in heaps(n, t, n).astype(float)])
    s = np.float32([.2, .9, .5, .7, .31])
    p = np.float32(np.concatenate([rng.uniform([0, 0], [96, 64], (n, k, 2)), np.ones((n, k, 1))], 2))
    order = sorted((i for i in range(n) if s[i] >= .3), key=lambda i: -s[i])
    case("points in an output", "pose", {"decode": "boxes", "boxes": "b", "scores": "s", "points": "p", "keypoints": list("abcd"), "box_space": "input"}, t,
         {"b": b, "s": s, "p": p}, ["person"], boxes=[on_image(t, (s[i], 0, b[i].astype(float), i)) for i in order],
         points=[[[*to_image(t, *map(float, q[:2])), float(q[2])] for q in p[i]] for i in order])


keypoint_rcnn()


def faces():
    t = transform(60, 40, 64, 64, 1, 1, 0, 0)
    names, outputs, found, points = [], {}, [], {}
    for stride in (8, 16, 32):
        side = 64 // stride
        n = side * side
        cls, obj = np.float32(rng.uniform(0, 1.1, n)), np.float32(rng.uniform(0, 1, n))
        box, kps = np.float32(rng.uniform(-1, 1, (n, 4))), np.float32(rng.uniform(-1, 1, (n, 10)))
        outputs |= {f"cls_{stride}": cls[:, None], f"obj_{stride}": obj[:, None], f"bbox_{stride}": box, f"kps_{stride}": kps}
        for i in range(n):
            score = math.sqrt(min(float(cls[i]), 1) * min(float(obj[i]), 1))
            if score < .6:
                continue
            c, r = i % side, i // side
            b = [(c + float(box[i, 0])) * stride, (r + float(box[i, 1])) * stride, math.exp(box[i, 2]) * stride, math.exp(box[i, 3]) * stride]
            points[stride, i] = [to_image(t, (c + float(kps[i, 2 * k])) * stride, (r + float(kps[i, 2 * k + 1])) * stride) for k in range(5)]
            found.append((score, 0, xyxy(b), (stride, i)))
    kept = [(on_image(t, d), points[d[3]]) for d in greedy(found, .3)]
    kept = [k for k in kept if k[0][4] > k[0][2] and k[0][5] > k[0][3]]
    case("faces", "pose", {"decode": "yunet", "score_threshold": .6, "iou_threshold": .3}, t, outputs, ["face"], boxes=[k[0] for k in kept], points=[k[1] for k in kept])


faces()


# ---- oriented detection
def covariance(b):
    w, h, r = b[2] ** 2 / 12, b[3] ** 2 / 12, b[4]
    turn = np.array([[math.cos(r), -math.sin(r)], [math.sin(r), math.cos(r)]])
    return turn @ np.diag([w, h]) @ turn.T


def likeness(p, q):
    """1 minus the Hellinger distance of two normal distributions, by its definition with matrices."""
    mean = (covariance(p) + covariance(q)) / 2
    d = np.array(p[:2]) - np.array(q[:2])
    distance = d @ np.linalg.inv(mean) @ d / 8 + math.log(np.linalg.det(mean) / math.sqrt(np.linalg.det(covariance(p)) * np.linalg.det(covariance(q)))) / 2
    return 1 - math.sqrt(max(0, 1 - math.exp(-distance)))


def oriented(name, t, iou, nms, turned):
    n = 120
    b, s = heaps(n, t, 8), scored(n, 2)
    a = np.float32(rng.uniform(-.8, 2.4, n))
    rows = np.concatenate([b, a[:, None]], 1).astype(float)
    order = sorted((i for i in range(n) if s[i].max() >= .25), key=lambda i: -s[i].max())
    kept, seen = [], []
    for i in order:
        rivals = seen if nms == "fast" else kept
        if not any(s[j].argmax() == s[i].argmax() and likeness(rows[i], rows[j]) >= iou for j in rivals):
            kept.append(i)
        seen.append(i)
    boxes, corners = [], []
    for i in kept:
        cx, cy, w, h, r = rows[i]
        c = [to_image(t, cx + u * w / 2 * math.cos(r) - v * h / 2 * math.sin(r), cy + u * w / 2 * math.sin(r) + v * h / 2 * math.cos(r), clip=False) for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        xs, ys = np.clip([p[0] for p in c], 0, t["Width"]), np.clip([p[1] for p in c], 0, t["Height"])
        boxes.append([int(s[i].argmax()), float(s[i].max()), float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys))])
        corners.append([list(p) for p in c])
    table = np.concatenate([b, s, a[:, None]], 1)
    case(name, "oriented_detection", {"decode": "yolo", "score_threshold": .25, "iou_threshold": iou} | ({} if nms == "fast" else {"nms": nms}), t,
         {"t": np.ascontiguousarray(table.T) if turned else table}, ["a", "b"], boxes=boxes, corners=corners)


oriented("rotated, fast", LETTERBOX, .7, "fast", True)
oriented("rotated, greedy", LETTERBOX, .5, "greedy", False)
oriented("rotated, stretched", STRETCH, .6, "fast", True)


# ---- semantic segmentation
def semantic(name, t, classes, h, w, last):
    z = smooth((classes, h, w))
    scores = np.array([[[over_input(z[c], t, x, y) for x in range(t["Width"])] for y in range(t["Height"])] for c in range(classes)])
    if classes == 1:
        pixels = (scores[0] > 0).astype(np.uint8)
    else:
        pixels = scores.argmax(0).astype(np.uint8)
    case(name, "semantic_segmentation", {"decode": "logits_map"}, t, {"y": np.ascontiguousarray(z.transpose(1, 2, 0)) if last else z},
         [f"c{i}" for i in range(max(2, classes))], map=b64(pixels.tobytes()))


semantic("classes first", LETTERBOX, 7, 16, 24, False)
semantic("classes last", STRETCH, 5, 16, 24, True)
semantic("more points than pixels", transform(20, 15, 96, 64, 96 / 20, 64 / 15, 0, 0), 4, 32, 48, False)
semantic("one class", LETTERBOX, 1, 16, 24, False)


def class_map(t):
    z = rng.integers(0, 5, (16, 24))
    pixels = np.zeros((t["Height"], t["Width"]), np.uint8)
    for y in range(t["Height"]):
        for x in range(t["Width"]):
            px, py = (x + .5) * t["ScaleX"] + t["OffsetX"], (y + .5) * t["ScaleY"] + t["OffsetY"]
            pixels[y, x] = z[min(int(py / t["InputH"] * 16), 15), min(int(px / t["InputW"] * 24), 23)]
    case("numbers of classes", "semantic_segmentation", {"decode": "class_map"}, t, {"y": np.int64(z)}, list("abcde"), map=b64(pixels.tobytes()))


class_map(LETTERBOX)
class_map(STRETCH)

pathlib.Path(__file__).with_name("tasks.json").write_text(json.dumps({"cases": cases}, separators=(",", ":")) + "\n")
