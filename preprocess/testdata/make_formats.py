"""Makes small GIF and TIFF images of every kind that Fovea reads, and what Pillow makes of them.

    pip install pillow==13.0.0 numpy==2.4.6 tifffile==2026.3.3 imagecodecs==2026.3.6
    python make_formats.py

formats/KIND.EXT are the images. formats/KIND.png holds the pixels that Pillow decodes, upright, with alpha: the colors of
convert("RGB") and the alpha of convert("RGBA"). Gray of 16 bits, which Pillow would
clip to 255, is reduced to its higher eight bits first. The size is SIZE, or its reverse if the image is turned.
"""

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageOps

from make_goldens import encoded, scene, turned, with_alpha

FOLDER = Path(__file__).parent / "formats"
SIZE = (45, 34)


def expected(data):
    image = Image.open(BytesIO(data))
    image.load()
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.mode == "La":
        image = image.convert("LA")
    image = ImageOps.exif_transpose(image)
    alpha = image.convert("RGBA").getchannel("A") if image.mode in ("P", "LA", "RGBA") or "transparency" in image.info else None
    rgba = image.convert("RGB").convert("RGBA")
    rgba.putalpha(alpha or 255)
    return rgba


def sub_blocks(data):
    blocks = [data[i : i + 255] for i in range(0, len(data), 255)]
    return b"".join(bytes([len(b)]) + b for b in blocks) + b"\0"


def lzw(indices, bits):
    """GIF's LZW without a table: a clear code before each code that would lengthen the codes."""
    out, size, position, value = bytearray(), bits + 1, 0, 0
    clear, end = 1 << bits, (1 << bits) + 1
    codes, room = [], (1 << size) - end - 2
    for i, index in enumerate(indices):
        if i % max(1, room) == 0:
            codes.append(clear)
        codes.append(index)
    for code in codes + [end]:
        value |= code << position
        position += size
        while position >= 8:
            out.append(value & 255)
            value >>= 8
            position -= 8
    if position:
        out.append(value & 255)
    return bytes([bits]) + sub_blocks(bytes(out))


def gif(screen, frame, indices, bits, palette=None, local=None, transparent=None, before=b"", interlaced=False, version=b"89a"):
    """A GIF of one frame, for kinds that Pillow does not write. frame: left, top, width, height."""

    def flag(p):
        return 0 if p is None else 0x80 | (len(p) // 3).bit_length() - 2

    out = b"GIF" + version + struct.pack("<HHBBB", *screen, flag(palette), 0, 0) + (palette or b"") + before
    if transparent is not None:
        out += b"!\xf9\x04" + struct.pack("<BHB", 1, 0, transparent) + b"\0"
    out += b"," + struct.pack("<HHHHB", *frame, flag(local) | (0x40 if interlaced else 0)) + (local or b"")
    return out + lzw(indices, bits) + b";"


def gifs():
    rgb = scene().resize(SIZE, Image.BOX)
    other = ImageOps.invert(rgb)
    palette = rgb.quantize(64)
    width, height = SIZE
    yield "gif_plain", encoded(palette, "GIF", interlace=False)
    yield "gif_interlaced", encoded(palette, "GIF", interlace=True)
    yield "gif_transparent", encoded(palette, "GIF", transparency=int(np.asarray(palette)[3, 3]))
    yield "gif_gray", encoded(rgb.convert("L"), "GIF")
    yield "gif_animated", encoded(palette, "GIF", save_all=True, append_images=[other.quantize(64)], duration=100)
    yield "gif_comment", encoded(palette, "GIF", comment=b"a comment" * 60)
    noise = np.random.default_rng(1).integers(0, 256, (height, width)).astype(np.uint8)
    colors = np.random.default_rng(2).integers(0, 256, 768).astype(np.uint8).tobytes()
    four, few = (noise & 3).ravel().tolist(), colors[:12]
    yield "gif_four", gif(SIZE, (0, 0, *SIZE), four, 2, few, version=b"87a")
    yield "gif_two", gif(SIZE, (0, 0, *SIZE), [v & 1 for v in four], 2, colors[:6])
    yield "gif_local", gif(SIZE, (0, 0, *SIZE), noise.ravel().tolist(), 8, few, local=colors)
    yield "gif_no_palette", gif(SIZE, (0, 0, *SIZE), noise.ravel().tolist(), 8)
    yield "gif_outside_palette", gif(SIZE, (0, 0, *SIZE), noise.ravel().tolist(), 8, few)
    part = (noise[5:25, 7:37] & 3).ravel().tolist()
    yield "gif_part", gif(SIZE, (7, 5, 30, 20), part, 2, few)
    yield "gif_part_transparent", gif(SIZE, (7, 5, 30, 20), part, 2, few, transparent=2)
    yield "gif_part_interlaced", gif(SIZE, (7, 5, 30, 19), part[: 30 * 19], 2, few, transparent=1, interlaced=True)
    yield "gif_beyond", gif((20, 10), (9, 4, 36, 30), (noise[:30, :36] & 3).ravel().tolist(), 2, few, transparent=0)
    yield "gif_no_screen", gif((0, 0), (0, 0, *SIZE), four, 2, few)
    yield "gif_strange_transparent", gif(SIZE, (7, 5, 30, 20), part, 2, few, transparent=200)
    application = b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0" + b"!\xfe\x02ab\0" + b"\0\0" + b"!\x01\x0c" + b"x" * 12 + b"\x01y\0"
    yield "gif_extensions", gif(SIZE, (0, 0, *SIZE), four, 2, few, before=application, transparent=3)


def tiff(pixels, **options):
    out = BytesIO()
    tifffile.imwrite(out, pixels, metadata=None, **options)
    return out.getvalue()


def tiffs():
    rgb = scene().resize(SIZE, Image.BOX)
    rgba, gray, palette = with_alpha(rgb), rgb.convert("L"), rgb.quantize(64)
    la = Image.merge("LA", (gray, rgba.getchannel("A")))
    modes = dict(rgb=rgb, rgba=rgba, gray=gray, palette=palette, la=la, cmyk=rgb.convert("CMYK"), bilevel=gray.convert("1"))
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        for name, image in modes.items():
            yield f"tiff_{compression.replace('tiff_', '')}_{name}", encoded(image, "TIFF", compression=compression)
    yield "tiff_old_deflate", encoded(rgb, "TIFF", compression="tiff_deflate")
    for name in ("rgb", "gray", "cmyk"):
        yield f"tiff_jpeg_{name}", encoded(modes[name], "TIFF", compression="jpeg", quality=90)
    deep = (np.asarray(rgba) * 257.0 - 100 * (np.asarray(rgba) > 3)).astype(np.uint16)
    yield "tiff_gray16", tiff(deep[..., 0], photometric="minisblack")
    yield "tiff_gray16_big", tiff(deep[..., 0], photometric="minisblack", byteorder=">", compression="lzw", predictor=2)
    yield "tiff_rgb16", tiff(deep[..., :3], photometric="rgb", compression="adobe_deflate", predictor=2)
    yield "tiff_rgb16_big", tiff(deep[..., :3], photometric="rgb", byteorder=">", compression="lzw")
    yield "tiff_rgba16", tiff(deep, photometric="rgb", extrasamples=["unassalpha"])
    yield "tiff_rgba16_associated", tiff(deep, photometric="rgb", extrasamples=["assocalpha"], byteorder=">")
    pixels = np.asarray(rgba)
    colors = pixels[..., :3].copy()
    yield "tiff_associated", tiff(pixels, photometric="rgb", extrasamples=["assocalpha"])
    yield "tiff_unspecified", tiff(pixels, photometric="rgb", extrasamples=["unspecified"])
    yield "tiff_white_is_zero", tiff(colors[..., 0].copy(), photometric="miniswhite")
    yield "tiff_bigtiff", tiff(colors, photometric="rgb", bigtiff=True, compression="lzw", predictor=2)
    yield "tiff_big_endian", tiff(colors, photometric="rgb", byteorder=">", rowsperstrip=7)
    for compression in (None, "lzw", "adobe_deflate", "packbits", "jpeg"):
        name = compression or "raw"
        yield f"tiff_tiles_{name}", tiff(colors, photometric="rgb", tile=(16, 32), compression=compression)
        yield f"tiff_strips_{name}", tiff(colors, photometric="rgb", rowsperstrip=16, compression=compression)
        planes = np.ascontiguousarray(np.moveaxis(colors, -1, 0))
        yield f"tiff_planes_{name}", tiff(planes, photometric="rgb", planarconfig="separate", tile=(16, 16), compression=compression)
    yield "tiff_tiles_differences", tiff(colors, photometric="rgb", tile=(32, 16), compression="lzw", predictor=2)
    yield "tiff_tiles_jpeg_ycbcr", tiff(colors, photometric="ycbcr", subsampling=(2, 2), tile=(32, 32), compression="jpeg",
                                        compressionargs={"level": 90, "outcolorspace": "ycbcr"})
    for bits in (2, 4):
        rows = np.asarray(gray) >> (8 - bits)
        yield f"tiff_gray{bits}", few_bits(rows, bits, 1)
        yield f"tiff_gray{bits}_white", few_bits(rows, bits, 0)
        yield f"tiff_palette{bits}", few_bits(rows, bits, 3)
    pages = BytesIO()
    rgb.save(pages, "TIFF", save_all=True, append_images=[ImageOps.invert(rgb)], compression="tiff_lzw")
    yield "tiff_pages", pages.getvalue()
    for orientation in range(1, 9):
        stored, _ = turned(rgb, orientation)
        yield f"tiff_orientation{orientation}", encoded(stored, "TIFF", tiffinfo={274: orientation}, compression="tiff_lzw")


def few_bits(rows, bits, photometric):
    """A TIFF of 2 or 4 bits a sample, without compression, in strips of 9 rows."""
    height, width = rows.shape
    per = 8 // bits
    padded = np.pad(rows, ((0, 0), (0, -width % per))).reshape(height, -1, per)
    packed = sum(padded[..., i].astype(int) << (8 - bits - i * bits) for i in range(per)).astype(np.uint8)
    strips = [packed[y : y + 9].tobytes() for y in range(0, height, 9)]
    colors = np.random.default_rng(bits).integers(0, 65536, 3 << bits).astype("<u2").tobytes()
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits), (259, 3, 1, 1), (262, 3, 1, photometric)]
    offset = 8 + 2 + 12 * 9 + 4
    first = offset + 8 * len(strips) + len(colors)
    starts = [first + sum(map(len, strips[:i])) for i in range(len(strips))]
    entries += [(273, 4, len(strips), offset), (278, 3, 1, 9), (279, 4, len(strips), offset + 4 * len(strips))]
    entries += [(320, 3, 3 << bits, offset + 8 * len(strips))]
    out = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries) + b"\0" * 4
    out += struct.pack(f"<{len(strips)}I", *starts) + struct.pack(f"<{len(strips)}I", *map(len, strips))
    return out + colors + b"".join(strips)


def main():
    FOLDER.mkdir(exist_ok=True)
    for kind, images in (("gif", gifs()), ("tif", tiffs())):
        for name, data in images:
            (FOLDER / f"{name}.{kind}").write_bytes(data)
            (FOLDER / f"{name}.png").write_bytes(encoded(expected(data), "PNG", optimize=True))


if __name__ == "__main__":
    main()
