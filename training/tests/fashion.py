#!/usr/bin/env python3
"""Writes images of Fashion-MNIST (Zalando Research) as PNG, in a folder per class.

    fashion.py SOURCE FOLDER COUNT [FIRST]

SOURCE is the folder of Debian's package dataset-fashion-mnist with the files …-ubyte.gz. Of the 60,000 images for training, COUNT of
each class are written, beginning with its image FIRST (0).
"""

import collections
import gzip
import pathlib
import sys

import numpy
from PIL import Image

CLASSES = ("t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")


def read(path, header):
    with gzip.open(path) as file:
        return numpy.frombuffer(file.read(), numpy.uint8, offset=header)


def write(source, folder, count, first=0):
    source, folder = pathlib.Path(source), pathlib.Path(folder)
    pixels = read(source / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    labels = read(source / "train-labels-idx1-ubyte.gz", 8)
    seen = collections.Counter()
    for image, label in zip(pixels, labels, strict=True):
        number = seen[label]
        seen[label] += 1
        if first <= number < first + count:
            to = folder / CLASSES[label] / f"{number:04}.png"
            to.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(to)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    write(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
