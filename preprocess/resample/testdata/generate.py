"""Makes goldens.json: what Pillow and PyTorch make of parts of one small image.

    pip install numpy==2.4.6 pillow==13.0.0 torch==2.15.0
    python generate.py

Each case resizes the part of the image at the top left of size `part` to `size` with a filter; a `box` (left, top, right,
bottom; not given: all of the part) is what Pillow's Image.resize takes, and may lie within pixels. Pixels are three bytes,
rows from the top. The image holds noise, of which a third is black or white, a ramp and flat areas.
"""

import base64
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

CASES = [
    # part, size, box
    ((37, 23), (16, 9), None),
    ((64, 48), (32, 24), None),
    ((50, 40), (7, 31), None),
    ((21, 40), (25, 13), None),
    ((9, 7), (20, 17), None),
    ((1, 1), (5, 3), None),
    ((1, 19), (4, 6), None),
    ((23, 1), (8, 1), None),
    ((40, 30), (40, 12), None),
    ((30, 40), (11, 40), None),
    ((96, 72), (3, 2), None),
    ((17, 13), (16, 12), None),
    ((31, 45), (10, 15), None),
    ((24, 30), (16, 20), None),
    ((60, 50), (13, 11), (0, 0, 59.5, 49.25)),
    ((60, 50), (17, 20), (0.5, 0.25, 60, 50)),
    ((60, 50), (70, 30), (3, 2, 31.5, 50)),
]

PILLOW = {
    "pillow_nearest": Image.Resampling.NEAREST,
    "pillow_box": Image.Resampling.BOX,
    "pillow_bilinear": Image.Resampling.BILINEAR,
    "pillow_hamming": Image.Resampling.HAMMING,
    "pillow_bicubic": Image.Resampling.BICUBIC,
    "pillow_lanczos": Image.Resampling.LANCZOS,
}


def source(width=96, height=72):
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (height, width, 3))
    ends = random.integers(0, 6, (height, width, 3))
    pixels = np.where(ends == 0, 0, np.where(ends == 1, 255, pixels))
    pixels[:, 40:60] = np.arange(20)[None, :, None] * [12, 7, 13]
    pixels[30:40] = [255, 0, 128]
    return pixels.astype(np.uint8)


TORCH = {"torch_antialias": "bilinear", "torch_antialias_bicubic": "bicubic", "torch_antialias_lanczos": "lanczos", "torch_nearest_exact": "nearest-exact"}


def torch_resized(pixels, size, mode):
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
    resized = torch.nn.functional.interpolate(planes, size=size[::-1], mode=mode, antialias="nearest" not in mode)
    return resized[0].permute(1, 2, 0).numpy()


def encoded(pixels):
    return base64.b64encode(np.ascontiguousarray(pixels, np.uint8).tobytes()).decode()


def main():
    image = source()
    cases = []
    for (width, height), size, box in CASES:
        part = np.ascontiguousarray(image[:height, :width])
        for name, how in PILLOW.items():
            result = np.asarray(Image.fromarray(part).resize(size, how, box=box))
            cases.append(dict(filter=name, part=[width, height], size=size, box=box, result=encoded(result)))
        if box is None:
            for name, mode in TORCH.items():
                result = torch_resized(part, size, mode)
                cases.append(dict(filter=name, part=[width, height], size=size, box=None, result=encoded(result)))
    lines = ",\n".join(json.dumps(case) for case in cases)
    text = f'{{"width": {image.shape[1]}, "height": {image.shape[0]}, "image": "{encoded(image)}",\n"cases": [\n{lines}\n]}}\n'
    (Path(__file__).parent / "goldens.json").write_text(text)


if __name__ == "__main__":
    main()
