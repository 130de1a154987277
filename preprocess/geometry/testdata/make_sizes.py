"""Writes sizes.csv: how libraries resize, pad and crop images of many sizes, computed as their own code does, in Python's floats.
And boxes.csv: where they map a point of the input back to.

    python make_sizes.py

A line of sizes.csv has the kind, the input's width and height, the stride, the shortest and the longest edge (0: none), the image's
width and height, and the result: the resized width and height, the columns and rows of padding before it (negative: cropped before
the input), the input's width and height, and the width and height to resize to (0: those of the input).

    letterbox  ultralytics.data.augment.LetterBox, with auto=True where there is a stride
    yolox      yolox.data.data_augment.preproc
    detr       transformers.models.detr.image_processing_detr.get_size_with_aspect_ratio
    eomt       the same of transformers.models.eomt.image_processing_eomt
    paddle     ppdet.data.transform.operators.Resize with keep_ratio, and PadBatch
    crop       torchvision.transforms.functional.resize and center_crop
    stretch_pil, stretch_torch, stretch_torchvision
               a stretch and center_crop of transformers.image_transforms, of TorchvisionBackend in
               transformers.image_processing_backends, and of torchvision (timm's crop_mode squash)
    edge_pil, edge_torch
               get_resize_output_image_size and the same two of transformers
    timm_cover timm.data.transforms.ResizeKeepRatio and torchvision's center_crop, as for inputs that are not square
    timm_border
               ResizeKeepRatio with longest=1 and CenterCropOrPad, which is torchvision's
    mmcv       mmcv.image.rescale_size, and padding at the right and bottom to multiples of size_divisor

A line of boxes.csv has the kind, the input's width and height, the stride, the image's width and height, a point of the input, and
that of the image, before it is clipped:

    ultralytics_8_3, ultralytics_8_4_25, ultralytics_8_4_174
               ultralytics.utils.ops.scale_boxes up to 8.4.24, from 8.4.25, and from 8.4.174 on
    yolov5     utils.general.scale_boxes of YOLOv5; scale_coords of YOLOv7
    yolox      demo/ONNXRuntime/onnx_inference.py
"""

import math
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


def mmcv(w, h, edge, most, divisor):
    scale = min(most / max(h, w), edge / min(h, w))
    new = int(w * float(scale) + 0.5), int(h * float(scale) + 0.5)
    return *new, 0, 0, *(math.ceil(side / divisor) * divisor for side in new)


def pil_crop(size, want):
    """transformers.image_transforms.center_crop, of one side."""
    top = (size - want) // 2
    if top >= 0 and top + want <= size:
        return -top
    top_pad = math.ceil((max(want, size) - size) / 2)
    return top_pad - max(0, top + top_pad)


def torch_crop(size, want):
    """TorchvisionBackend.center_crop."""
    if want > size:
        return (want - size) // 2
    return -int((size - want) / 2.0)


def torchvision_crop(size, want):
    if want > size:
        return (want - size) // 2
    return -int(round((size - want) / 2.0))


def keep_ratio(w, h, width, height, longest):
    """ResizeKeepRatio.get_params."""
    ratio_h, ratio_w = h / height, w / width
    ratio = max(ratio_h, ratio_w) * longest + min(ratio_h, ratio_w) * (1.0 - longest)
    return round(w * 1.0 / ratio), round(h * 1.0 / ratio)


def shortest(w, h, edge):
    short, long = (w, h) if w <= h else (h, w)
    new_short, new_long = edge, int(edge * long / short)
    return (new_short, new_long) if w <= h else (new_long, new_short)


def crops(w, h):
    for kind, crop_side in (("pil", pil_crop), ("torch", torch_crop), ("torchvision", torchvision_crop)):
        for to, width, height in (((256, 256), 224, 224), ((243, 256), 224, 225), ((224, 219), 224, 256), ((100, 131), 101, 128)):
            before = crop_side(to[0], width), crop_side(to[1], height)
            yield "stretch_" + kind, width, height, 0, 0, 0, w, h, *to, *before, width, height, *to
        if kind != "torchvision":
            for edge, width, height in ((256, 224, 224), (224, 256, 256), (225, 224, 251)):
                new = shortest(w, h, edge)
                before = crop_side(new[0], width), crop_side(new[1], height)
                yield "edge_" + kind, width, height, 0, edge, 0, w, h, *new, *before, width, height, 0, 0
    for pct, width, height in ((0.9, 128, 384), (0.875, 224, 160), (0.95, 256, 192)):
        to = math.floor(width / pct), math.floor(height / pct)
        new = keep_ratio(w, h, *to, 0.0)
        before = torchvision_crop(new[0], width), torchvision_crop(new[1], height)
        yield "timm_cover", width, height, 0, 0, 0, w, h, *new, *before, width, height, *to
    for pct, width, height in ((0.9, 224, 224), (1.0, 224, 224), (0.8, 256, 192)):
        to = math.floor(width / pct), math.floor(height / pct)
        new = keep_ratio(w, h, *to, 1.0)
        before = torchvision_crop(new[0], width), torchvision_crop(new[1], height)
        yield "timm_border", width, height, 0, 0, 0, w, h, *new, *before, width, height, *to


def scale_boxes(kind, x, y, w, h, img1):
    """img1 is the input's width and height."""
    gain = min(img1[1] / h, img1[0] / w)
    gains = gain, gain
    if kind == "ultralytics_8_3":
        pad = round((img1[0] - w * gain) / 2 - 0.1), round((img1[1] - h * gain) / 2 - 0.1)
    elif kind == "ultralytics_8_4_25":
        pad = round((img1[0] - round(w * gain)) / 2 - 0.1), round((img1[1] - round(h * gain)) / 2 - 0.1)
    elif kind == "ultralytics_8_4_174":
        new_h, new_w = (max(round(side * gain), 1) for side in (h, w))
        gains = new_w / w, new_h / h
        pad = round((img1[0] - new_w) / 2 - 0.1), round((img1[1] - new_h) / 2 - 0.1)
    elif kind == "yolov5":
        pad = (img1[0] - w * gain) / 2, (img1[1] - h * gain) / 2
    else:  # yolox
        pad = 0, 0
    return (x - pad[0]) / gains[0], (y - pad[1]) / gains[1]


def boxes(rng, sizes):
    for w, h in sizes:
        if max(w, h) > 30 * min(w, h):
            continue
        for width, height, stride in ((640, 640, 0), (320, 256, 0), (640, 640, 32)):
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            *new, _, _, img1_w, img1_h = letterbox(w, h, width, height, stride)
            img1 = img1_w, img1_h
            gain = min(img1_h / h, img1_w / w)
            if [round(w * gain), round(h * gain)] != new:
                continue  # a rounded side without padding, from which scale_boxes takes a gain that is a pixel too small
            for kind in ("ultralytics_8_3", "ultralytics_8_4_25", "ultralytics_8_4_174", "yolov5", "yolox"):
                if kind == "yolox" and stride:
                    continue
                px, py = scale_boxes(kind, x, y, w, h, img1)
                yield kind, width, height, stride, w, h, f"{x:.4f}", f"{y:.4f}", f"{px:.4f}", f"{py:.4f}"


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
        for edge, most, divisor in ((800, 1333, 32), (640, 640, 1), (600, 1000, 128)):
            lines.append(("mmcv", 0, 0, divisor, edge, most, w, h, *mmcv(w, h, edge, most, divisor)))
    lines = [line if len(line) > 14 else (*line, 0, 0) for line in lines]
    for w, h in sizes[:60]:
        if max(w, h) <= 30 * min(w, h):
            lines.extend(crops(w, h))
    (Path(__file__).parent / "boxes.csv").write_text("".join(",".join(map(str, line)) + "\n" for line in boxes(rng, sizes)))
    text = "".join(",".join(map(str, line)) + "\n" for line in lines)
    (Path(__file__).parent / "sizes.csv").write_text(text)


if __name__ == "__main__":
    main()
