#!/usr/bin/env python3
"""Makes the sample images, and the default model's self-test, from the scikit-image 0.25.2 wheel. Run once, with Pillow; the results are committed.

    make.py WHEEL
"""

import io
import pathlib
import sys
import zipfile

from PIL import Image

SOURCES = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png")

HERE = pathlib.Path(__file__).parent
MODEL = HERE.parent.parent / "models" / "efficientnet-lite0"
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in SOURCES:
        image = Image.open(io.BytesIO(wheel.read("skimage/data/" + name))).convert("RGB")
        image.save(HERE / (name.split(".")[0] + ".jpg"), quality=90, optimize=True)
        if name == "coffee.png":  # the default model's self-test
            image.resize((360, 240), Image.Resampling.LANCZOS).save(MODEL / "self_test.jpg", quality=88, optimize=True)
