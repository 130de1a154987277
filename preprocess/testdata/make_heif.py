"""Makes small AVIF and HEIC images of every kind that Fovea reads, and what Pillow makes of them.

    pip install pillow==13.0.0 numpy==2.4.6 pillow-avif-plugin==1.6.0 pillow-heif==1.8.1 imagecodecs==2026.3.6
    python make_heif.py

heif/KIND.EXT are the images. heif/KIND.png holds the pixels that Pillow decodes with libavif (and libyuv) or libheif, upright, with
alpha. Files of the kinds that encoders do not write here, such as grids, hold the images of these encoders in a container
of this script. Two have no image of Pillow's: libavif crops nothing, and Pillow would turn what only EXIF data says is turned.
"""

import struct
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pillow_avif  # noqa: F401
import pillow_heif
from PIL import Image, ImageOps

from make_goldens import scene, with_alpha

FOLDER = Path(__file__).parent / "heif"
SIZE = (45, 34)
EVEN = (74, 66)  # of HEVC: libheif crops smaller ones from 64x64, and chroma has no half pixels
pillow_heif.register_heif_opener()


def box(kind, *parts):
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind, version, flags, *parts):
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def boxes(data):
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + size]
        at += size


def child(data, *path):
    for kind in path:
        data = next(body for k, body in boxes(data) if k == kind)
        data = data[4:] if kind == b"meta" else data
    return data


def coded(data):
    """The configuration box and the data of the first image in an encoder's file."""
    config = next((k, b) for k, b in boxes(child(data, b"meta", b"iprp", b"ipco")) if k in (b"av1C", b"hvcC"))
    iloc = child(data, b"meta", b"iloc")
    version, sizes = iloc[0], struct.unpack_from(">H", iloc, 4)[0]
    assert version == 0 and sizes >> 8 == 0x44, (version, hex(sizes))
    base = sizes >> 4 & 15
    at = 8 + 4
    start = int.from_bytes(iloc[at : at + base], "big")
    offset, length = struct.unpack_from(">II", iloc, at + base + 2)
    return config, data[start + offset :][:length]


class File:
    """A HEIF file: items with their type, properties, references and data."""

    def __init__(self, brand):
        self.brand, self.items, self.primary = brand, [], 1

    def add(self, kind, data, properties, references=(), in_idat=False, pieces=1):
        self.items.append((kind, data, properties, references, in_idat, pieces))
        return len(self.items)

    def bytes(self):
        ipco, uses, infos, refs, idat, mdat = [], b"", b"", b"", b"", b""
        places = []
        for number, (kind, data, properties, references, in_idat, pieces) in enumerate(self.items, 1):
            infos += full(b"infe", 2, 0, struct.pack(">HH4s", number, 0, kind), b"\0")
            indices = []
            for p in properties:
                essential = p[4:8] in (b"av1C", b"hvcC", b"irot", b"imir", b"clap")
                if p not in ipco:
                    ipco.append(p)
                indices.append((ipco.index(p) + 1) | (0x80 if essential else 0))
            uses += struct.pack(">HB", number, len(indices)) + bytes(indices)
            for name, to in references:
                refs += box(name, struct.pack(">HH", number, len(to)), *[struct.pack(">H", i) for i in to])
            if in_idat:
                places.append((1, [(len(idat), len(data))]))
                idat += data
                continue
            step = max(1, -(-len(data) // pieces))
            extents = []
            for i in range(0, len(data), step):
                extents.append((len(mdat), len(data[i : i + step])))
                mdat += data[i : i + step] + (b"gap" if pieces > 1 else b"")
            places.append((0, extents))

        def meta(start):
            iloc = struct.pack(">HH", 0x4400, len(places))
            for number, (method, extents) in enumerate(places, 1):
                iloc += struct.pack(">HHHH", number, method, 0, len(extents))
                for offset, length in extents:
                    iloc += struct.pack(">II", offset + (0 if method else start), length)
            return full(
                b"meta", 0, 0,
                full(b"hdlr", 0, 0, struct.pack(">I4s12sB", 0, b"pict", b"", 0)),
                full(b"pitm", 0, 0, struct.pack(">H", self.primary)),
                full(b"iinf", 0, 0, struct.pack(">H", len(self.items)), infos),
                full(b"iref", 0, 0, refs) if refs else b"",
                box(b"iprp", box(b"ipco", *ipco), full(b"ipma", 0, 0, struct.pack(">I", len(self.items)), uses)),
                full(b"iloc", 1, 0, iloc),
                box(b"idat", idat) if idat else b"",
            )  # fmt: skip

        ftyp = box(b"ftyp", self.brand, bytes(4), self.brand, b"mif1", b"miaf")
        start = len(ftyp) + len(meta(0)) + 8
        return ftyp + meta(start) + box(b"mdat", mdat)


def ispe(width, height):
    return full(b"ispe", 0, 0, struct.pack(">II", width, height))


def nclx(primaries, transfer, matrix, whole):
    return box(b"colr", b"nclx", struct.pack(">HHHB", primaries, transfer, matrix, whole << 7))


def irot(quarters):
    return box(b"irot", bytes([quarters]))


def imir(axis):
    return box(b"imir", bytes([axis]))


def clap(width, height, x, y):
    return box(b"clap", struct.pack(">IIIIiIiI", width, 1, height, 1, *x, *y))


def avif(image, **options):
    out = BytesIO()
    image.save(out, "AVIF", **{"quality": 90, "speed": 6, "codec": "aom", **options})
    return out.getvalue()


def heic(image, **options):
    out = BytesIO()
    image.save(out, "HEIF", **{"quality": 90, **options})
    return out.getvalue()


def deep(bits, **options):
    pixels = np.asarray(scene(*SIZE)).astype(np.uint16) << (bits - 8)
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    return imagecodecs.avif_encode(pixels + ((x + y) % (1 << (bits - 8)))[..., None].astype(np.uint16), level=90, bitspersample=bits, **options)


def single(brand, kind, source, *properties, size, **options):
    config, data = coded(source)
    file = File(brand)
    file.add(kind, data, [ispe(*size), box(*config), *properties], **options)
    return file


def grid(brand, kind, encode, size, tile, *properties):
    """A grid as phones write it: the primary image comes first, then a thumbnail, then the tiles."""
    columns, rows = -(-size[0] // tile), -(-size[1] // tile)
    whole = scene(columns * tile, rows * tile)
    file = File(brand)
    head = bytes([0, 0, rows - 1, columns - 1]) + struct.pack(">HH", *size)
    ids = [3 + i for i in range(rows * columns)]
    file.add(b"grid", head, [ispe(*size), *properties], [(b"dimg", ids)], in_idat=True)
    config, data = coded(encode(Image.new("RGB", (64, 64), (255, 0, 0))))
    file.add(kind, data, [ispe(64, 64), box(*config)], [(b"thmb", [1])])
    for i in range(rows * columns):
        left, top = i % columns * tile, i // columns * tile
        config, data = coded(encode(whole.crop((left, top, left + tile, top + tile))))
        file.add(kind, data, [ispe(tile, tile), box(*config), *[p for p in properties if p[4:8] == b"colr"]])
    return file.bytes()


def kinds():
    image, rgba = scene(*SIZE), with_alpha(scene(*SIZE))
    gray = image.convert("L")
    for name in ("4:4:4", "4:2:2", "4:2:0", "4:0:0"):
        yield f"avif_{name.replace(':', '')}.avif", avif(image, subsampling=name)
    yield "avif_limited.avif", avif(image, range="limited")
    yield "avif_limited_gray.avif", avif(image, range="limited", subsampling="4:0:0")
    yield "avif_gray.avif", avif(gray)
    yield "avif_alpha.avif", avif(rgba)
    yield "avif_alpha_444.avif", avif(rgba, subsampling="4:4:4")
    yield "avif_multiplied.avif", avif(rgba, alpha_premultiplied=True)
    yield "avif_odd.avif", avif(scene(33, 17))
    yield "avif_one.avif", avif(scene(96, 72).crop((5, 5, 6, 6)))
    yield "avif_grain.avif", avif(scene(96, 72), quality=40, advanced={"film-grain-test": "1"})
    for bits in (10, 12):
        for pixels in ("444", "422", "420"):
            yield f"avif_{bits}_{pixels}.avif", deep(bits, pixelformat=pixels)
    for matrix in (0, 1, 5, 6, 9):
        yield f"avif_matrix_{matrix}.avif", imagecodecs.avif_encode(np.asarray(image), level=90, pixelformat="444", primaries=1, transfer=13, matrix=matrix)
    yield "avif_derived.avif", imagecodecs.avif_encode(np.asarray(image), level=90, pixelformat="420", primaries=9, transfer=13, matrix=12)
    yield "avif_ycgco.avif", imagecodecs.avif_encode(np.asarray(image), level=90, pixelformat="444", primaries=1, transfer=13, matrix=8)
    for brand, kind, encode, ext in ((b"avif", b"av01", avif, "avif"), (b"heic", b"hvc1", heic, "heic")):
        size = EVEN if kind == b"hvc1" else SIZE
        source = encode(scene(*size))
        for orientation in range(1, 9):
            # libavif's avifImageExtractExifOrientationToIrotImir (src/exif.c)
            turn = {1: [], 2: [imir(1)], 3: [irot(2)], 4: [imir(0)], 5: [irot(1), imir(0)], 6: [irot(3)], 7: [irot(3), imir(0)], 8: [irot(1)]}
            yield f"{ext}_turned_{orientation}.{ext}", single(brand, kind, source, *turn[orientation], size=size).bytes()
        yield f"{ext}_turned_twice.{ext}", single(brand, kind, source, irot(2), imir(1), size=size).bytes()
        yield f"{ext}_pieces.{ext}", single(brand, kind, source, pieces=5, size=size).bytes()
        yield f"{ext}_named.{ext}", single(brand, kind, source, nclx(1, 13, 1, 0), size=size).bytes()
        yield f"{ext}_grid.{ext}", grid(brand, kind, encode, (150, 100), 64)
        yield f"{ext}_grid_turned.{ext}", grid(brand, kind, encode, (150, 100), 64, irot(1))
        exif = single(brand, kind, source, size=size)
        exif.add(b"Exif", bytes(4) + b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0", [], [(b"cdsc", [1])])
        yield f"{ext}_exif.{ext}", exif.bytes()
        later = File(brand)
        config, data = coded(encode(Image.new("RGB", (64, 64), (255, 0, 0))))
        later.add(kind, data, [ispe(64, 64), box(*config)])
        config, data = coded(source)
        later.primary = later.add(kind, data, [ispe(*size), box(*config)])
        yield f"{ext}_second.{ext}", later.bytes()
    for name in ("444", "422", "420"):
        yield f"heic_{name}.heic", heic(image, chroma=name)
    yield "heic_gray.heic", heic(gray)
    yield "heic_alpha.heic", heic(rgba)
    yield "heic_mif1.heic", heic(image).replace(b"ftypheic", b"ftypmif1", 1)
    yield "heic_odd.heic", heic(scene(33, 17))
    for ext, brand, kind, source in (("avif", b"avif", b"av01", avif(scene(*EVEN))), ("heic", b"heic", b"hvc1", heic(scene(*EVEN)))):
        yield f"{ext}_cropped.{ext}", single(brand, kind, source, clap(30, 20, (-2, 1), (3, 1)), irot(1), size=EVEN).bytes()


def expected(name, data):
    image = Image.open(BytesIO(data))
    image.load()
    if "_exif." not in name:
        image = ImageOps.exif_transpose(image)
    if name == "avif_cropped.avif":  # libavif turns and does not crop
        image = image.transpose(Image.ROTATE_270).crop((20, 26, 50, 46)).transpose(Image.ROTATE_90)
    return image.convert("RGBA")


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, data in kinds():
        (FOLDER / name).write_bytes(data)
        expected(name, data).save(FOLDER / (name.rsplit(".", 1)[0] + ".png"), optimize=True)


if __name__ == "__main__":
    main()
