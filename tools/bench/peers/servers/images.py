"""Makes the images of the comparison from the sample images: images.py FROM TO.

Each is cut to the shape, scaled, and given grain like a camera's, so that the files are as large as real ones. JPEG of
quality 90; the same bytes on every run with the same OpenCV and NumPy.
"""

import pathlib
import sys

import cv2
import numpy as np

SIZES = {"small": (250, 200), "hd": (1280, 720), "12mp": (4000, 3000)}


def cut(image, width, height):
    """The largest part of the shape width:height in the middle."""
    lines, columns = image.shape[:2]
    scale = min(columns / width, lines / height)
    w, h = int(width * scale), int(height * scale)
    top, left = (lines - h) // 2, (columns - w) // 2
    return image[top : top + h, left : left + w]


source, target = map(pathlib.Path, sys.argv[1:])
for name, (width, height) in SIZES.items():
    (target / name).mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.jpg")):
        image = cut(cv2.imread(str(path)), width, height)
        how = cv2.INTER_AREA if image.shape[1] > width else cv2.INTER_CUBIC
        image = cv2.resize(image, (width, height), interpolation=how)
        grain = np.random.default_rng(1).normal(0, 4, (height, width, 1))
        image = (image + grain).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(target / name / path.name), image, [cv2.IMWRITE_JPEG_QUALITY, 90])
