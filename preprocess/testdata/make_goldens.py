"""Makes the small images of every kind that Fovea reads, and what Pillow makes of them.

    pip install pillow==13.0.0 numpy==2.4.6
    python make_goldens.py

images/KIND.EXT are the images. goldens/KIND.rgb holds three results of 32x32 pixels, rows from the top, three
bytes (red, green, blue) a pixel, one behind the other:

    stretch        resized to 32x32
    shortest_edge  shorter side resized to 36 as torchvision's Resize does it, then 32x32 from the center
    letterbox      fitted into 32x32, centered, the rest 114

gray/colors.png holds many colors, gray/colors.l what Pillow's convert("L") makes of them, one byte a pixel, and
gray/scene.l what it makes of images/png_rgb.png, resized to 32x32 afterwards.

All are resized with Pillow's BILINEAR, which filters when it shrinks, as training pipelines do. All images show
the same scene, in which no two corners and no two color channels are alike, so that a wrong turn, crop or color
order cannot pass.
"""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

HERE = Path(__file__).parent
SIZE = 32
SHORTEST = 36
FILL = 114


def scene(width=96, height=72):
    """A smooth background with a few shapes, different in every corner and channel."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    pixels = np.stack(
        [40 + 180 * x / width, 200 - 150 * y / height, 90 + 60 * np.sin(x / 9) * np.cos(y / 7)], axis=-1
    )
    image = Image.fromarray(pixels.round().astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.rectangle([4, 4, 34, 20], fill=(220, 30, 40))
    draw.ellipse([56, 8, 90, 34], fill=(30, 60, 210))
    draw.polygon([(8, 66), (30, 36), (44, 66)], fill=(240, 220, 60))
    draw.rectangle([70, 50, 92, 68], fill=(20, 90, 40))
    return image


def crop_box(width, height):
    """torchvision.transforms.functional: _compute_resized_output_size and center_crop."""
    if width <= height:
        resized = (SHORTEST, int(SHORTEST * height / width))
    else:
        resized = (int(SHORTEST * width / height), SHORTEST)
    left = int(round((resized[0] - SIZE) / 2.0))
    top = int(round((resized[1] - SIZE) / 2.0))
    return resized, (left, top, left + SIZE, top + SIZE)


def letterboxed(image):
    scale = min(SIZE / image.width, SIZE / image.height)
    size = (round(image.width * scale), round(image.height * scale))
    canvas = Image.new("RGB", (SIZE, SIZE), (FILL,) * 3)
    canvas.paste(image.resize(size, Image.BILINEAR), ((SIZE - size[0]) // 2, (SIZE - size[1]) // 2))
    return canvas


def expected(data):
    """What Pillow makes of the file: turned as its EXIF data says, alpha dropped, 16 bits brought to 8."""
    image = Image.open(BytesIO(data))
    image.seek(0)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    image = ImageOps.exif_transpose(image).convert("RGB")
    resized, box = crop_box(*image.size)
    return [
        image.resize((SIZE, SIZE), Image.BILINEAR),
        image.resize(resized, Image.BILINEAR).crop(box),
        letterboxed(image),
    ]


def encoded(image, kind, **options):
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def turned(image, orientation):
    """The image as a camera stores it, so that it is upright once the orientation is applied."""
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return (image if undo is None else image.transpose(undo)), exif.tobytes()


def png(width, height, depth, color, rows, chunks=(), interlace=0):
    """A PNG of raw rows (bytes without filter), for kinds that Pillow does not write."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace))
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows), 9))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunk(*c) for c in chunks) + body + chunk(b"IEND", b"")


def png16(image, color):
    """16 bits a channel: the low byte repeats the high one, as scaling 8 bits up does."""
    pixels = np.asarray(image)
    wide = pixels.astype(">u2") * 257
    rows = [wide[y].astype(">u2").tobytes() for y in range(image.height)]
    return png(image.width, image.height, 16, color, rows)


def png_interlaced(image):
    """Adam7 (PNG, third edition, 8.2)."""
    pixels = np.asarray(image)
    rows = []
    for x, y, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        rows += [row.tobytes() for row in pixels[y::dy, x::dx]]
    return png(image.width, image.height, 8, 2, rows, interlace=1)


def bmp_rle8(image):
    """A palette BMP with run-length coded rows (BI_RLE8), which Pillow reads and does not write."""
    image = image.quantize(64)
    pixels = np.asarray(image)
    body = b""
    for row in pixels[::-1]:
        x = 0
        while x < len(row):
            run = 1
            while x + run < len(row) and run < 255 and row[x + run] == row[x]:
                run += 1
            body += bytes([run, row[x]])
            x += run
        body += b"\0\0"
    body += b"\0\1"
    palette = np.zeros((256, 4), np.uint8)
    colors = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    palette[: len(colors), :3] = colors[:, ::-1]
    offset = 14 + 40 + 1024
    head = b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset)
    info = struct.pack("<IiiHHIIiiII", 40, image.width, image.height, 1, 8, 1, len(body), 2835, 2835, 256, 0)
    return head + info + palette.tobytes() + body


def bmp(image, bits, header=40, top_down=False, masks=None):
    """A BMP of a kind that Pillow reads and does not write. masks: of red, green, blue and alpha (BI_BITFIELDS)."""
    pixels = np.asarray(image.convert("RGB")).astype(np.uint32)
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    if bits == 16 and masks:
        rows = ((red >> 3) << 11 | (green >> 2) << 5 | blue >> 3).astype("<u2")
    elif bits == 16:
        rows = ((red >> 3) << 10 | (green >> 3) << 5 | blue >> 3).astype("<u2")
    elif bits == 32:
        rows = (0x80000000 | red << 16 | green << 8 | blue).astype("<u4")
    else:
        rows = pixels[..., ::-1].astype(np.uint8)
    body = (rows if top_down else rows[::-1]).tobytes()
    width, height = image.size
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, width, -height if top_down else height, 1, bits,
                           3 if masks else 0, len(body), 2835, 2835, 0, 0)
        fields = struct.pack("<IIII", *masks) if masks else b""
        info = (info + fields).ljust(header, b"\0") if header > 40 else info + fields[:12]
    offset = 14 + len(info)
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + info + body


def cmyk_jpeg(image, transform):
    """A CMYK JPEG whose Adobe segment names a transform (2: YCCK), or that has no such segment (None)."""
    if transform == 2:
        cmyk = image.convert("CMYK").split()
        image = Image.merge("CMYK", Image.merge("RGB", cmyk[:3]).convert("YCbCr").split() + cmyk[3:])
    data = encoded(image.convert("CMYK"), "JPEG", quality=92)
    start = data.index(b"\xff\xee")
    end = start + 2 + struct.unpack_from(">H", data, start + 2)[0]
    segment = b"" if transform is None else data[start : end - 1] + bytes([transform])
    return data[:start] + segment + data[end:]


def jpeg_with_thumbnail(image):
    """As cameras write it: big-endian EXIF data with a thumbnail, which has an end marker of its own, other segments
    before it, and something behind the image's end."""
    stored, _ = turned(image, 6)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    exif += encoded(ImageOps.invert(image).resize((32, 24)), "JPEG")
    comment = b"\xff\xfe" + struct.pack(">H", 10) + b"\xff\xd9\xff\xda  \xff\xd8"
    app1 = b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif
    data = encoded(stored, "JPEG", quality=92, subsampling=0)
    return data[:2] + comment + app1 + data[2:] + encoded(ImageOps.invert(stored), "JPEG")


def webp_animated_small(image):
    """An animation whose first frame covers only a part of its canvas."""

    def chunk(kind, body):
        return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)

    def uint24(value):
        return struct.pack("<I", value)[:3]

    def frame(left, top, image):
        place = b"".join(map(uint24, (left // 2, top // 2, image.width - 1, image.height - 1, 100))) + b"\x02"
        return chunk(b"ANMF", place + encoded(image, "WEBP", lossless=True)[12:])

    small = image.crop((20, 10, 80, 60))
    size = uint24(image.width - 1) + uint24(image.height - 1)
    body = chunk(b"VP8X", b"\x02\0\0\0" + size) + chunk(b"ANIM", b"\x20\x80\xff\xff\0\0")
    body += frame(20, 10, small) + frame(0, 0, ImageOps.invert(image))
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def with_alpha(image):
    """The image with an alpha channel that is nowhere 0, so that encoders keep all colors."""
    alpha = Image.linear_gradient("L").resize(image.size).point(lambda v: 40 + v * 200 // 255)
    rgba = image.convert("RGBA")
    rgba.putalpha(alpha)
    return rgba


def kinds():
    rgb = scene()
    other = ImageOps.invert(rgb)
    gray = rgb.convert("L")
    rgba = with_alpha(rgb)
    la = Image.merge("LA", (gray, rgba.getchannel("A")))
    palette = rgb.quantize(64)
    jpeg = dict(quality=92)
    yield "jpeg_420.jpg", encoded(rgb, "JPEG", subsampling=2, **jpeg)
    yield "jpeg_422.jpg", encoded(rgb, "JPEG", subsampling=1, **jpeg)
    yield "jpeg_444.jpg", encoded(rgb, "JPEG", subsampling=0, **jpeg)
    yield "jpeg_progressive.jpg", encoded(rgb, "JPEG", progressive=True, **jpeg)
    yield "jpeg_restart.jpg", encoded(rgb, "JPEG", restart_marker_blocks=2, **jpeg)
    yield "jpeg_gray.jpg", encoded(gray, "JPEG", **jpeg)
    yield "jpeg_cmyk.jpg", encoded(rgb.convert("CMYK"), "JPEG", **jpeg)
    yield "jpeg_cmyk_plain.jpg", cmyk_jpeg(rgb, None)
    yield "jpeg_ycck.jpg", cmyk_jpeg(rgb, 2)
    yield "jpeg_thumbnail.jpg", jpeg_with_thumbnail(rgb)
    yield "jpeg_rgb.jpg", encoded(rgb, "JPEG", keep_rgb=True, **jpeg)
    for orientation in range(1, 9):
        stored, exif = turned(rgb, orientation)
        yield f"jpeg_exif{orientation}.jpg", encoded(stored, "JPEG", exif=exif, subsampling=0, **jpeg)
    yield "png_rgb.png", encoded(rgb, "PNG")
    yield "png_rgba.png", encoded(rgba, "PNG")
    yield "png_gray.png", encoded(gray, "PNG")
    yield "png_gray_alpha.png", encoded(la, "PNG")
    yield "png_gray_1bit.png", encoded(gray.convert("1", dither=Image.Dither.NONE), "PNG")
    yield "png_palette.png", encoded(palette, "PNG")
    yield "png_palette_transparent.png", encoded(palette, "PNG", transparency=bytes(range(64)))
    yield "png_gray_transparent.png", encoded(gray, "PNG", transparency=90)
    yield "png_rgb16.png", png16(rgb, 2)
    yield "png_gray16.png", png16(gray, 0)
    yield "png_interlaced.png", png_interlaced(rgb)
    stored, exif = turned(rgb, 6)
    yield "png_exif6.png", encoded(stored, "PNG", exif=exif)
    yield "png_animated.png", encoded(rgb, "PNG", save_all=True, append_images=[other], duration=100)
    yield "webp_lossy.webp", encoded(rgb, "WEBP", quality=95)
    yield "webp_lossless.webp", encoded(rgb, "WEBP", lossless=True)
    yield "webp_lossy_alpha.webp", encoded(rgba, "WEBP", quality=95, exact=True)
    yield "webp_lossless_alpha.webp", encoded(rgba, "WEBP", lossless=True, exact=True)
    yield "webp_exif6.webp", encoded(stored, "WEBP", exif=exif, quality=95)
    yield "webp_animated.webp", encoded(rgb, "WEBP", save_all=True, append_images=[other], duration=100, quality=95)
    yield "webp_animated_lossless.webp", encoded(
        rgba, "WEBP", save_all=True, append_images=[with_alpha(other)], duration=100, lossless=True, exact=True
    )
    yield "webp_animated_small.webp", webp_animated_small(rgb)
    yield "bmp_24.bmp", encoded(rgb, "BMP")
    yield "bmp_32.bmp", encoded(rgba, "BMP")
    yield "bmp_palette.bmp", encoded(palette, "BMP")
    yield "bmp_gray.bmp", encoded(gray, "BMP")
    yield "bmp_1bit.bmp", encoded(gray.convert("1", dither=Image.Dither.NONE), "BMP")
    yield "bmp_rle8.bmp", bmp_rle8(rgb)
    yield "bmp_core.bmp", bmp(rgb, 24, header=12)
    yield "bmp_top_down.bmp", bmp(rgb, 24, top_down=True)
    yield "bmp_555.bmp", bmp(rgb, 16)
    yield "bmp_565.bmp", bmp(rgb, 16, masks=(0xF800, 0x07E0, 0x001F, 0))
    yield "bmp_v5_alpha.bmp", bmp(rgb, 32, header=124, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000))


def make_gray():
    """Pixels of all corners of the color cube, and random ones, for inputs of one channel."""
    corners = [[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)]
    colors = np.vstack([corners, np.random.default_rng(0).integers(0, 256, (64 * 48 - 8, 3))]).astype(np.uint8)
    image = Image.fromarray(colors.reshape(48, 64, 3))
    image.save(HERE / "gray" / "colors.png")
    (HERE / "gray" / "colors.l").write_bytes(image.convert("L").tobytes())
    (HERE / "gray" / "scene.l").write_bytes(scene().convert("L").resize((SIZE, SIZE), Image.BILINEAR).tobytes())


def make_alpha():
    """The alpha of the BMP and the WebP that have one, and of two more with alpha of other kinds: noise, and two values. And what Pillow
    makes of an image with noise and its alpha when it resizes it, with each filter."""
    random = np.random.default_rng(3)
    rgba = with_alpha(scene())
    for name, alpha in (("noise", random.integers(0, 256, (72, 96))), ("values", random.integers(0, 2, (72, 96)) * 200 + 30)):
        rgba.putalpha(Image.fromarray(alpha.astype(np.uint8)))
        (HERE / "alpha" / f"webp_lossy_{name}.webp").write_bytes(encoded(rgba, "WEBP", quality=80, exact=True))
    files = list((HERE / "alpha").glob("*.webp"))
    files.append(HERE / "images" / "bmp_v5_alpha.bmp")
    for name in ("lossy_alpha", "lossless_alpha", "animated_lossless", "animated_small"):
        files.append(HERE / "images" / f"webp_{name}.webp")
    for file in files:
        image = Image.open(file)
        image.seek(0)
        (HERE / "alpha" / f"{file.stem}.a").write_bytes(image.convert("RGBA").getchannel("A").tobytes())
    noise = Image.fromarray(random.integers(0, 256, (30, 40, 4)).astype(np.uint8), "RGBA")
    noise.save(HERE / "alpha" / "noise.png")
    filters = (Image.BOX, Image.BILINEAR, Image.HAMMING, Image.BICUBIC, Image.LANCZOS, Image.NEAREST)
    (HERE / "alpha" / "noise.rgba").write_bytes(b"".join(noise.resize((17, 21), f).tobytes() for f in filters))


def main():
    for folder in ("images", "goldens", "gray", "alpha"):
        (HERE / folder).mkdir(exist_ok=True)
    for name, data in kinds():
        (HERE / "images" / name).write_bytes(data)
        results = b"".join(np.asarray(r, np.uint8).tobytes() for r in expected(data))
        (HERE / "goldens" / (name.split(".")[0] + ".rgb")).write_bytes(results)
    make_gray()
    make_alpha()


if __name__ == "__main__":
    main()
