"""Writes sizes.csv: how libraries resize and pad images of many sizes, computed as their own code does, in Python's floats.

    python make_sizes.py

A line has the kind, the input's width and height, the stride, the shortest and the longest edge (0: none), the image's width and
height, and the result: the resized width and height, the columns and rows of padding before it, and the input's width and height.

    letterbox  ultralytics.data.augment.LetterBox, with auto=True where there is a stride
    yolox      yolox.data.data_augment.preproc
    detr       transformers.models.detr.image_processing_detr.get_size_with_aspect_ratio
    eomt       the same of transformers.models.eomt.image_processing_eomt
    paddle     ppdet.data.transform.operators.Resize with keep_ratio, and PadBatch
    crop       torchvision.transforms.functional.resize and center_crop; the columns and rows before the crop are negative
"""

import random
from pathlib import Path


def letterbox(w, h, width, height, stride):
    r = min(height / h, width / w)
    new = round(w * r), round(h * r)
    dw, dh = width - new[0], height - new[1]
    if stride:
        dw, dh = dw % stride, dh % stride
    left, right, top, bottom = round(dw / 2 - 0.1), round(dw / 2 + 0.1), round(dh / 2 - 0.1), round(dh / 2 + 0.1)
    return *new, left, top, new[0] + left + right, new[1] + top + bottom


def yolox(w, h, width, height):
    r = min(height / h, width / w)
    return int(w * r), int(h * r), 0, 0, width, height


def transformers(w, h, edge, most, rounding):
    raw = None
    if most:
        low, high = float(min(h, w)), float(max(h, w))
        if high / low * edge > most:
            raw = most * low / high
            edge = int(round(raw))
    if (h <= w and h == edge) or (w <= h and w == edge):
        return w, h
    if w < h:
        return edge, rounding((raw if raw is not None else edge) * h / w)
    return rounding((raw if raw is not None else edge) * w / h), edge


def paddle(w, h, edge, most, stride):
    scale = edge / min(w, h)
    if round(scale * max(w, h)) > most:
        scale = most / max(w, h)
    size = round(w * scale), round(h * scale)  # cv2.resize with fx and fy: saturate_cast<int> rounds half to even
    return size, tuple(-(-side // stride) * stride for side in size)


def crop(w, h, edge, width, height):
    short, long = (w, h) if w <= h else (h, w)
    new_long = int(edge * long / short)
    new = (edge, new_long) if w <= h else (new_long, edge)
    return *new, -int(round((new[0] - width) / 2.0)), -int(round((new[1] - height) / 2.0)), width, height


def main():
    rng = random.Random(1)
    lines = []
    sizes = [(49, 12), (103, 98), (107, 61), (416, 416), (1280, 721), (721, 1280), (640, 480), (1333, 800), (799, 1331), (3, 2), (1, 1)]
    sizes += [(rng.randint(2, 5000), rng.randint(2, 5000)) for _ in range(150)]
    for w, h in sizes:
        if max(w, h) > 30 * min(w, h):
            continue
        for width, height, stride in ((640, 640, 0), (416, 416, 0), (320, 256, 0), (640, 640, 32), (640, 384, 32), (320, 320, 64)):
            lines.append(("letterbox", width, height, stride, 0, 0, w, h, *letterbox(w, h, width, height, stride)))
        for width, height in ((416, 416), (640, 640), (320, 192)):
            lines.append(("yolox", width, height, 0, 0, 0, w, h, *yolox(w, h, width, height)))
        for edge, most in ((800, 1333), (480, 640), (300, 0)):
            for kind, rounding in (("detr", int), ("eomt", round)):
                new = transformers(w, h, edge, most, rounding)
                lines.append((kind, 0, 0, 0, edge, most, w, h, *new, 0, 0, *new))
        new, padded = paddle(w, h, 800, 1333, 32)
        lines.append(("paddle", 0, 0, 32, 800, 1333, w, h, *new, 0, 0, *padded))
        for edge, width, height in ((256, 224, 224), (236, 224, 224), (232, 224, 200)):
            lines.append(("crop", width, height, 0, edge, 0, w, h, *crop(w, h, edge, width, height)))
    text = "".join(",".join(map(str, line)) + "\n" for line in lines)
    (Path(__file__).parent / "sizes.csv").write_text(text)


if __name__ == "__main__":
    main()
