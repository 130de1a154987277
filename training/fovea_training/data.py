"""Images in folders of classes: which there are, which are held out, and how they become a model's input."""

import collections
import concurrent.futures
import hashlib
import io
import json
import os
import pathlib
import random
import signal

import numpy
import torch
from PIL import Image, ImageOps

from . import TrainingError, alive, checkpoint

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}  # of the formats that the server decodes
PREFETCH = 2  # batches that each worker prepares ahead

# An image: its path below the folder, the number of its class, and the SHA-256 of the file.
Sample = collections.namedtuple("Sample", "folder name label digest")


class Images(collections.namedtuple("Images", "classes train held_out broken")):
    """What a training reads: names of the classes, samples, and {path: why} of the images that cannot be decoded."""

    def digest(self):
        """Returns a hash of the images, their classes and which are held out."""
        lines = [f"{part} {s.name} {s.digest}" for part, list_ in (("train", self.train), ("held out", self.held_out)) for s in list_]
        return hashlib.sha256("\n".join([*self.classes, *sorted(lines)]).encode(errors="surrogateescape")).hexdigest()


def find(config):
    """Finds the images of a configuration and decides which are held out."""
    folder = pathlib.Path(config.data.dir)
    classes, names = walk(folder, "data.dir")
    samples, broken = scan(folder, names, config)
    if config.data.held_out_dir:
        other = pathlib.Path(config.data.held_out_dir)
        theirs, names = walk(other, "data.held_out_dir")
        if unknown := sorted(set(theirs) - set(classes)):
            raise TrainingError(f"data.held_out_dir: {other} has classes that {folder} has not: {', '.join(unknown)}")
        names = {name: classes.index(theirs[label]) for name, label in names.items()}
        held_out, more = scan(other, names, config)
        broken |= more
    else:
        held_out = choose(samples, config.data.held_out, config.train.seed)
    if broken and config.data.broken == "refuse":
        raise TrainingError(f"data.broken is refuse, and {len(broken)} images cannot be decoded: " + ", ".join(sorted(broken)))
    digests = {s.digest for s in held_out}
    images = Images(classes, [s for s in samples if s.digest not in digests], held_out, broken)
    if empty := [name for i, name in enumerate(classes) if not any(s.label == i for s in images.train)]:
        raise TrainingError(f"data.dir: {folder} has too few images to train with of {', '.join(empty)}")
    return images


def walk(folder, key):
    """Lists the classes of a folder and {path of an image: number of its class}."""
    if not folder.is_dir():
        raise TrainingError(f"{key}: {folder} is not a folder")
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    names = {}
    for label, name in enumerate(classes):
        for base, folders, files in os.walk(folder / name):
            folders[:] = [f for f in folders if not f.startswith(".")]
            names |= {os.path.relpath(os.path.join(base, f), folder): label for f in files
                      if not f.startswith(".") and pathlib.Path(f).suffix.lower() in ENDINGS}
    if (len(set(names.values())) < 2 and key == "data.dir") or not names:
        raise TrainingError(f"{key}: {folder} must have a folder with images for each of at least two classes, such as "
                            f"cat/1.jpg and dog/1.jpg; images end in {' '.join(sorted(ENDINGS))}")
    if unused := set(range(len(classes))) - set(names.values()):
        raise TrainingError(f"{key}: {folder} has classes without images: {', '.join(classes[i] for i in sorted(unused))}")
    return classes, dict(sorted(names.items()))


def scan(folder, names, config):
    """Decodes every image once and returns samples and {path: why it cannot be decoded}. Results are kept in out.dir by size and
    time of the file, so that a training that continues starts at once."""
    known_file = pathlib.Path(config.out.dir) / f"images-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}.json"
    try:
        known = json.loads(known_file.read_text())
    except (OSError, ValueError):
        known = {}

    def look(name):
        path = folder / name
        stamp = None
        try:
            stamp = [path.stat().st_size, path.stat().st_mtime_ns]
            if known.get(name, [None])[0] == stamp:
                return known[name]
            data = path.read_bytes()
            with Image.open(io.BytesIO(data)) as image:
                image.load()
            return [stamp, hashlib.sha256(data).hexdigest(), ""]
        except Exception as error:  # Pillow's decoders raise errors of many kinds
            return [stamp, "", str(error) or type(error).__name__]

    found = {}
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        for name, result in zip(names, pool.map(look, names), strict=True):
            found[name] = result
            alive.beat()
    finally:
        pool.shutdown(cancel_futures=True)
    if found != known:
        checkpoint.write(known_file, json.dumps(found).encode())
    samples = [Sample(str(folder), name, names[name], digest) for name, (_, digest, why) in found.items() if not why]
    return samples, {str(folder / name): why for name, (_, _, why) in found.items() if why}


def choose(samples, share, seed):
    """Returns the share of each class that is held out, by hash: adding an image moves at most one other."""
    groups = collections.defaultdict(list)
    for sample in samples:
        groups[sample.label].append(sample)
    held_out = []
    for group in groups.values():
        group.sort(key=lambda s: (hashlib.sha256(f"{seed} {s.digest}".encode()).digest(), s.name))
        held_out += group[:max(1, round(len(group) * share))]
    return sorted(held_out, key=lambda s: s.name)


def read(sample):
    """Returns an image as Pillow's RGB, upright."""
    with Image.open(os.path.join(sample.folder, sample.name)) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def as_served(image, size, resize):
    """Resizes and crops as the exported definition says: torchvision's Resize(resize, BICUBIC) and CenterCrop(size)."""
    width, height = image.size
    short = min(width, height)
    width, height = (resize if side == short else int(resize * side / short) for side in (width, height))
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + size, top + size))


def augmented(image, size, rng, min_area, flip):
    """A random part of an image, stretched by up to 4/3, as in "Going Deeper with Convolutions" (C. Szegedy et al., 2014)."""
    width, height = image.size
    box = (0, 0, width, height)
    for _ in range(10 if min_area < 1 else 0):
        area = width * height * rng.uniform(min_area, 1)
        ratio = (4 / 3) ** rng.uniform(-1, 1)
        w, h = (area * ratio) ** 0.5, (area / ratio) ** 0.5
        if w <= width and h <= height:
            x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
            box = (x, y, x + w, y + h)
            break
    image = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip and rng.random() < 0.5 else image


class Dataset(torch.utils.data.Dataset):
    """Images as uint8 [3, size, size] and class numbers. What is random depends on seed, epoch and name alone, so that a
    training that continues sees the same images as one that was never interrupted. epoch None: as served."""

    def __init__(self, samples, config, epoch=None):
        self.samples, self.config, self.epoch = samples, config, epoch

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        sample, data = self.samples[index], self.config.data
        try:
            image = read(sample)
        except OSError as error:
            raise TrainingError(f"{sample.folder}/{sample.name}: {error}") from None
        if self.epoch is None:
            image = as_served(image, data.size, data.resize)
        else:
            rng = random.Random(f"{self.config.train.seed} {self.epoch} {sample.name}")
            image = augmented(image, data.size, rng, self.config.augment.min_area, self.config.augment.flip)
        return torch.from_numpy(numpy.asarray(image).transpose(2, 0, 1).copy()), sample.label


def order(count, config, epoch):
    """Returns the batches of an epoch as lists of indices, shuffled. A last batch that is not full is left out."""
    rng = torch.Generator().manual_seed(config.train.seed * 1_000_003 + epoch)
    batch = min(config.train.batch, count)
    indices = torch.randperm(count, generator=rng).tolist()
    return [indices[i:i + batch] for i in range(0, count - batch + 1, batch)]


def in_order(count, config):
    """Returns all indices as batches."""
    return [list(range(i, min(i + config.train.batch, count))) for i in range(0, count, config.train.batch)]


def loader(dataset, batches, config):
    """Returns an iterable over batches, which are lists of indices."""
    workers = min(config.data.workers, len(batches))
    if workers:
        check_shared_memory(config, workers)
    return torch.utils.data.DataLoader(
        dataset, batch_sampler=batches, num_workers=workers, worker_init_fn=ignore_signals, timeout=240 if workers else 0,
        prefetch_factor=PREFETCH if workers else None, pin_memory=torch.cuda.is_available(),
        generator=torch.Generator().manual_seed(0))  # a separate one: the loader leaves torch's alone


def ignore_signals(_):
    """Leaves signals to the main process, which finishes its batch first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def check_shared_memory(config, workers, where="/dev/shm"):
    """Raises an error if workers could not pass their batches, which would kill them with SIGBUS."""
    need = (PREFETCH * workers + 1) * config.train.batch * 3 * config.data.size**2
    stat = os.statvfs(where)
    free = stat.f_bavail * stat.f_frsize
    if need > free:
        raise TrainingError(f"{workers} workers with train.batch={config.train.batch} need {need / 1e6:.0f} MB of shared memory, "
                            f"and {where} has {free / 1e6:.0f} MB free: raise shm_size (compose.yaml) or --shm-size (docker run), "
                            "or lower data.workers or train.batch")
