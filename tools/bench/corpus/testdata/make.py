"""Makes tiles of photographs as encoders write them: 256x256 pixels, 2.7 bits each, as of 16 MiB for 50 megapixels.

    pip install pillow==13.0.0 numpy==2.4.6 pillow-heif==1.8.1 imagecodecs==2026.3.6
    python make.py
"""

from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pillow_heif
from PIL import Image

SIDE, BYTES = 256, 22_000
pillow_heif.register_heif_opener()


def photograph(bits=8):
    """Slow waves of light, edges, and the noise of a sensor."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    waves = [128 + 90 * np.sin(x / 37 + y / 91), 128 + 90 * np.cos(x / 53 - y / 41), 128 + 80 * np.sin((x + y) / 77)]
    pixels = np.stack(waves, axis=-1)
    for _ in range(60):
        left, top, width, height = random.integers(0, SIDE, 4) // (1, 1, 4, 4)
        pixels[top : top + height, left : left + width] += random.normal(0, 40, 3)
    pixels = (pixels + random.normal(0, 6, pixels.shape)) * (1 << bits) / 256
    return pixels.clip(0, (1 << bits) - 1).astype(np.uint8 if bits == 8 else np.uint16)


def largest(encode):
    """The file of the highest quality within BYTES."""
    return max((f for f in map(encode, range(20, 100)) if len(f) <= BYTES), key=len)


def heic(quality):
    out = BytesIO()
    Image.fromarray(photograph()).save(out, "HEIF", quality=quality)
    return out.getvalue()


def main():
    for name, encode in {
        "420.avif": lambda q: imagecodecs.avif_encode(photograph(), level=q, speed=6, pixelformat="420"),
        "444_10.avif": lambda q: imagecodecs.avif_encode(photograph(10), level=q, speed=6, pixelformat="444", bitspersample=10),
        "420.heic": heic,
    }.items():
        (Path(__file__).parent / name).write_bytes(largest(encode))


if __name__ == "__main__":
    main()
