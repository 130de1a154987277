"""The export: the best checkpoint as the next version in a model repository, with what the server needs in the file itself."""

import errno
import io
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import warnings

import numpy
import onnx
import onnxruntime
import torch
import yaml

from . import TrainingError, alive, checkpoint, data, logs
from . import config as configuration

OPSET = 17
TOLERANCE = 1e-3  # of logits between PyTorch and ONNX Runtime, relative to the largest
LISTED = 10  # classes in an expected answer


def export(training, again):
    """Writes the next version. What a training has exported already is left alone unless it is wanted again."""
    note = training.folder / "export.json"
    if note.exists() and not again:
        logs.say(f"this training is complete and exported: {json.loads(note.read_text())['path']}; "
                 "other settings or images start another one")
        return
    config, classes = training.config, training.images.classes
    best = checkpoint.load(training.folder / "best.pt")
    if best is None:
        raise TrainingError(f"{training.folder} has no checkpoint to export: train first")
    training.model.load_state_dict(best["model"])
    definition = define(config)
    home = pathlib.Path(config.export.repository) / config.export.name
    check_definition(home / "model.yaml", definition, classes)
    weights = to_onnx(training.model, config)
    answers, accuracy = predict(training, weights)
    record = {"accuracy": accuracy, "held_out_images": len(answers), "train_images": len(training.images.train), "epoch": best["epoch"],
              "step": best["step"], "revision": revision(), "data_sha256": training.images.digest(), "torch": torch.__version__,
              "config": configuration.record(config)}
    weights = describe(weights, definition, classes, record)
    if config.export.held_out:  # before the version, which a gate may judge by them
        copy_held_out(training.images, pathlib.Path(config.export.held_out))
    path = install(home, {"model.onnx": weights, "expected.json": json.dumps(answers).encode()})
    checkpoint.write(note, json.dumps({"path": str(path), **record}, indent=1).encode())
    logs.say(f"exported {path}: held-out accuracy {accuracy:.4f}. Compare through the server: serve models verify {config.export.name} "
             f"--images {config.data.held_out_dir or config.data.dir} --expect {path / 'expected.json'}")


def define(config):
    """Returns the definition that makes the server see an image as the training did: the keys of model.yaml."""
    d = config.data
    return {"task": "classification",
            "input": {"name": "image", "width": d.size, "height": d.size, "resize": "shortest_edge", "shortest_edge": d.resize,
                      "interpolation": "pillow_bicubic", "color": "rgb", "mean": d.mean, "std": d.std},
            "output": {"name": "logits", "decode": "softmax"}}


def check_definition(file, definition, classes):
    """Raises an error if the model has a model.yaml that contradicts the new version: it would take precedence."""
    try:
        there = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        return
    except (OSError, yaml.YAMLError) as error:
        raise TrainingError(f"export.name: {file}: {error}") from None
    wrong = []
    for section in ("input", "output"):
        for key, value in definition[section].items():
            theirs = (there.get(section) or {}).get(key)
            needed = key not in ("name", "width", "height", "color")  # these follow from the file
            if (theirs is None and needed) or (theirs is not None and theirs != value):
                wrong.append(f"{section}.{key} is {'not given' if theirs is None else theirs}, want {value}")
    if there.get("task") != "classification":
        wrong.append(f"task is {there.get('task')}")
    labels = file.parent / str(there.get("labels") or "labels.txt")
    if not labels.is_file() or labels.read_text().splitlines() != classes:
        wrong.append(f"{labels} does not list the classes {', '.join(classes)}")
    if wrong:
        raise TrainingError(f"export.name: {file} does not fit the new version: {'; '.join(wrong)}. Change it, remove it (the new "
                            "version has its own definition), or choose another export.name")


def to_onnx(model, config):
    """Returns the network as ONNX with an open batch: image float32 [N, 3, size, size] to logits [N, classes]."""
    size, buffer = config.data.size, io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is not folded in the file, and is when it is loaded
        torch.onnx.export(model.cpu().eval(), (torch.zeros(2, 3, size, size),), buffer, input_names=["image"], output_names=["logits"],
                      dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}}, opset_version=OPSET, dynamo=False)
    return buffer.getvalue()


@torch.inference_mode()
def predict(training, weights):
    """Predicts the held-out images with the exported file. Returns {path: answer as of /predict} and the accuracy."""
    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    config, classes, held_out = training.config, training.images.classes, training.images.held_out
    mean, std = (numpy.asarray(v, numpy.float32).reshape(1, -1, 1, 1) for v in (config.data.mean, config.data.std))
    answers, correct = {}, 0
    for pixels, labels in data.loader(data.Dataset(held_out, config), data.in_order(len(held_out), config), config):
        rows = (pixels.numpy().astype(numpy.float32) - mean) / std
        logits = session.run(["logits"], {"image": rows})[0]
        want = training.model(torch.from_numpy(rows)).numpy()
        if not numpy.abs(logits - want).max() <= TOLERANCE * max(1, numpy.abs(want).max()):
            raise TrainingError(f"the exported file differs from the network by {numpy.abs(logits - want).max()} in a logit: it may do "
                                "what ONNX cannot express, such as branches that depend on the image")
        for row, label in zip(logits, labels.tolist(), strict=True):
            scores = numpy.exp(row - row.max())
            scores /= scores.sum()
            best = numpy.argsort(-scores, kind="stable")
            answers[held_out[len(answers)].name] = {
                "top": [{"class": int(c), "label": classes[c], "score": float(scores[c])} for c in best[:LISTED]]}
            correct += int(best[0] == label)
        alive.beat()
    return answers, correct / len(held_out)


def describe(weights, definition, classes, record):
    """Adds the metadata that the server reads (fovea.definition, fovea.labels) and the record of the training."""
    file = onnx.load_from_string(weights)
    file.producer_name = "fovea"
    onnx.helper.set_model_props(file, {
        "fovea.definition": yaml.safe_dump(definition, sort_keys=False), "fovea.labels": "\n".join(classes),
        "fovea.accuracy": f"{record['accuracy']:.4f}", "fovea.training": json.dumps(record, sort_keys=True)})
    onnx.checker.check_model(file)
    return file.SerializeToString()


def install(home, files):
    """Writes files as the next version of a model in one rename: a server sees the whole version or none."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        part = pathlib.Path(tempfile.mkdtemp(prefix=".export-", dir=home.parent))
    except PermissionError as error:
        raise TrainingError(f"export.repository: {error}; it must be writable for uid {os.getuid()}") from None
    try:
        for name, content in files.items():
            checkpoint.write(part / name, content)
        part.chmod(0o755)
        while True:
            number = 1 + max((int(e.name) for e in home.iterdir() if e.name.isascii() and e.name.isdigit()), default=0)
            try:
                part.rename(home / str(number))
                break
            except OSError as error:  # another export was faster
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        checkpoint.sync_folder(home)
        return home / str(number)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def copy_held_out(images, folder):
    """Copies the held-out images by class, for models verify and the gate on versions."""
    for sample in images.held_out:
        to = folder / sample.name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(os.path.join(sample.folder, sample.name), to)


def revision():
    """Returns the git revision of this program: that of the image, or of the checkout that it runs from."""
    if fixed := os.environ.get("TRAIN_REVISION"):
        return fixed
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"], cwd=pathlib.Path(__file__).parent,
                              capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
