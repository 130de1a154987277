import pathlib
import shutil

import numpy
import pytest
from conftest import namespace, settings
from PIL import Image

from fovea_training import TrainingError, config, data


@pytest.fixture(scope="module")
def images(clothes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    clothes(folder, 20)
    return folder


def find(folder, out, *more):
    return data.find(config.load(None, [f"data.dir={folder}", f"out.dir={out}", *more]))


def test_each_class_is_held_out_in_proportion_and_by_seed(images, tmp_path):
    first = find(images, tmp_path, "data.held_out=0.2")
    assert first.classes == sorted(first.classes) and len(first.classes) == 10
    assert [sum(s.label == c for s in first.held_out) for c in range(10)] == [4] * 10
    assert not {s.name for s in first.held_out} & {s.name for s in first.train}
    assert len(first.train) == 160
    again, other = find(images, tmp_path, "data.held_out=0.2"), find(images, tmp_path, "data.held_out=0.2", "train.seed=2")
    assert again == first and again.digest() == first.digest()
    assert other.held_out != first.held_out and other.digest() != first.digest()


def test_an_image_more_moves_at_most_one_other(images, tmp_path):
    more = tmp_path / "more"
    shutil.copytree(images, more)
    before = {s.name for s in find(more, tmp_path / "out").held_out}
    Image.new("RGB", (40, 30), "teal").save(more / "bag" / "new.jpg")
    after = {s.name for s in find(more, tmp_path / "out").held_out} - {"bag/new.jpg"}
    assert len(before - after) <= 1 and len(after - before) <= 1


def test_equal_images_are_not_on_both_sides(images, tmp_path):
    copies = tmp_path / "copies"
    shutil.copytree(images, copies)
    for file in list(copies.glob("*/*.png")):
        shutil.copy(file, file.with_name("copy-" + file.name))
    found = find(copies, tmp_path / "out")
    assert not {s.digest for s in found.train} & {s.digest for s in found.held_out}


def test_a_folder_of_held_out_images(images, clothes, tmp_path):
    clothes(tmp_path / "other", 3, 100)
    found = find(images, tmp_path / "out", f"data.held_out_dir={tmp_path / 'other'}")
    assert len(found.held_out) == 30 and len(found.train) == 200
    assert {s.folder for s in found.held_out} == {str(tmp_path / "other")}
    (tmp_path / "other" / "hat").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "other" / "hat" / "1.png")
    with pytest.raises(TrainingError, match=r"has classes that .* has not: hat"):
        find(images, tmp_path / "out", f"data.held_out_dir={tmp_path / 'other'}")


def break_images(folder):
    """Makes a truncated PNG, an empty JPEG and a text file of images; returns their names."""
    whole = (folder / "coat" / "0001.png").read_bytes()
    (folder / "coat" / "truncated.png").write_bytes(whole[:len(whole) // 2])
    (folder / "bag" / "empty.jpg").write_bytes(b"")
    (folder / "bag" / "text.webp").write_text("not an image")
    return ["coat/truncated.png", "bag/empty.jpg", "bag/text.webp"]


def test_broken_images_are_named_and_skipped_or_refused(images, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(images, folder)
    names = break_images(folder)
    found = find(folder, tmp_path / "out")
    assert sorted(found.broken) == sorted(str(folder / name) for name in names)
    assert all(found.broken.values())
    assert len(found.train) + len(found.held_out) == 200
    with pytest.raises(TrainingError, match="3 images cannot be decoded") as caught:
        find(folder, tmp_path / "out", "data.broken=refuse")
    assert all(name in str(caught.value) for name in names)


def test_broken_images_are_printed(images, tmp_path, start):
    folder = tmp_path / "broken"
    shutil.copytree(images, folder)
    names = break_images(folder)
    status, output = start(*settings(folder, tmp_path / "out", train__epochs=1)).end()
    assert status == 0
    assert all(f"skipped: {folder}/{name}: " in output for name in names)


def test_a_changed_image_is_read_again(images, tmp_path):
    folder = tmp_path / "changing"
    shutil.copytree(images, folder)
    before = find(folder, tmp_path / "out").digest()
    assert find(folder, tmp_path / "out").digest() == before
    Image.new("RGB", (20, 20), "red").save(folder / "bag" / "0003.png")
    assert find(folder, tmp_path / "out").digest() != before


@pytest.mark.parametrize(("make", "message"), [
    (lambda f: None, "is not a folder"),
    (lambda f: f.mkdir(), "at least two classes"),
    (lambda f: [(f / c).mkdir(parents=True) for c in "ab"], "at least two classes"),
    (lambda f: [(f / c).mkdir(parents=True) for c in "abc"] + [Image.new("L", (9, 9), i).save(f / "ab"[i] / "1.png") for i in (0, 1)],
     "classes without images: c"),
    (lambda f: [(f / c).mkdir(parents=True) for c in "ab"] + [Image.new("L", (9, 9), i).save(f / "ab"[i] / "1.png") for i in (0, 1)],
     "too few images to train with of a, b"),
])
def test_folders_that_cannot_be_trained_with(make, message, tmp_path):
    make(tmp_path / "data")
    with pytest.raises(TrainingError, match=message):
        find(tmp_path / "data", tmp_path / "out")


@pytest.mark.parametrize(("size", "resized", "corner"), [
    # torchvision's Resize(36): the longer side is int(36 · long ÷ short). CenterCrop(32): int(round(d ÷ 2)), halves to even.
    ((36, 36), (36, 36), (2, 2)), ((100, 50), (72, 36), (20, 2)), ((50, 101), (36, 72), (2, 20)), ((37, 36), (37, 36), (2, 2)),
    ((101, 100), (36, 36), (2, 2)), ((39, 36), (39, 36), (4, 2)), ((41, 36), (41, 36), (4, 2)),
])
def test_held_out_images_are_cropped_as_by_torchvision(size, resized, corner):
    pixels = numpy.random.default_rng(1).integers(0, 256, (*size[::-1], 3), numpy.uint8)
    image = Image.fromarray(pixels)
    want = numpy.asarray(image.resize(resized, Image.Resampling.BICUBIC))[corner[1]:corner[1] + 32, corner[0]:corner[0] + 32]
    assert (numpy.asarray(data.as_served(image, 32, 36)) == want).all()


def test_images_are_turned_as_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    left_red = Image.new("RGB", (20, 10), "blue")
    left_red.paste("red", (0, 0, 10, 10))
    left_red.save(tmp_path / "turned.jpg", exif=exif, quality=100)
    image = data.read(data.Sample(str(tmp_path), "turned.jpg", 0, ""))
    assert image.size == (10, 20)
    assert image.getpixel((5, 2))[0] > 200 and image.getpixel((5, 17))[2] > 200


def test_augmentation_depends_on_seed_epoch_and_name_alone(images, tmp_path):
    settings_ = config.load(None, [f"data.dir={images}", f"out.dir={tmp_path}", "data.size=32", "data.resize=36"])
    samples = data.find(settings_).train
    one, two = data.Dataset(samples, settings_, epoch=1), data.Dataset(samples[::-1], settings_, epoch=1)
    assert (one[0][0] == two[len(samples) - 1][0]).all()
    assert not (one[0][0] == data.Dataset(samples, settings_, epoch=2)[0][0]).all()
    assert (data.Dataset(samples, settings_)[0][0] == data.Dataset(samples, settings_)[0][0]).all()


def test_an_epoch_has_every_image_once_in_another_order():
    settings_ = config.load(None, ["train.batch=8"])
    one, two = data.order(80, settings_, 0), data.order(80, settings_, 1)
    assert sorted(i for batch in one for i in batch) == list(range(80)) and one != two and one == data.order(80, settings_, 0)
    assert [len(b) for b in data.order(83, settings_, 0)] == [8] * 10
    assert len(data.order(5, settings_, 0)) == 1


def test_too_little_shared_memory_is_named(images, tmp_path, start):
    arguments = settings(images, tmp_path / "out", data__workers=4, data__size=224, data__resize=256, train__batch=256)
    small = namespace("mount -t tmpfs -o size=64m tmpfs /dev/shm")
    status, output = start(*arguments, prefix=small).end()
    assert status == 1
    assert "shm_size" in output and "lower data.workers" in output and "67 MB free" in output


def test_workers_give_the_same_images(images, tmp_path):
    settings_ = config.load(None, [f"data.dir={images}", f"out.dir={tmp_path}", "data.size=32", "data.resize=36", "train.batch=8"])
    samples = data.find(settings_).train
    batches = data.order(len(samples), settings_, 3)
    settings_.data.workers = 0
    alone = list(data.loader(data.Dataset(samples, settings_, 3), batches, settings_))
    settings_.data.workers = 2
    shared = list(data.loader(data.Dataset(samples, settings_, 3), batches, settings_))
    assert len(alone) == len(shared) == len(batches)
    for (a, b), (c, d) in zip(alone, shared, strict=True):
        assert (a == c).all() and (b == d).all()
    assert pathlib.Path(samples[0].folder) == images
