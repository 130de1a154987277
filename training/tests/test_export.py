"""A trained model in the repository, and in the server."""

import concurrent.futures
import json
import os
import random
import re
import shutil
import threading
import types

import numpy
import onnxruntime
import pytest
import torch
import yaml
from conftest import DEADLINE, ROOT, settings
from PIL import Image
from serving import Server, serve

from fovea_training import TrainingError, config, data, export


def test_the_file_has_all_that_is_known_of_the_model(trained):
    meta, classes = trained.metadata(), sorted(os.listdir(trained.images))
    assert meta["fovea.labels"].split("\n") == classes
    definition = yaml.safe_load(meta["fovea.definition"])
    assert definition["input"]["interpolation"] == "pillow_bicubic" and definition["input"]["shortest_edge"] == 110
    record = json.loads(meta["fovea.training"])
    assert record["revision"] == "1234abcd" and record["config"]["train.batch"] == 32 and record["held_out_images"] == 250
    assert len(record["data_sha256"]) == 64
    assert meta["fovea.accuracy"] == f"{record['accuracy']:.4f}" and 0.6 < record["accuracy"] <= 1
    assert str(record["accuracy"])[:6] in trained.output


def test_the_batch_is_open_and_the_network_is_the_trained_one(trained):
    session = onnxruntime.InferenceSession(trained.version(1) / "model.onnx", providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == ["N", 3, 96, 96] and session.get_outputs()[0].shape == ["N", 10]
    network = trained.network()
    for rows in (1, 3):
        batch = torch.rand(rows, 3, 96, 96) * 2 - 1
        with torch.inference_mode():
            want = network(batch).numpy()
        assert numpy.abs(session.run(None, {"image": batch.numpy()})[0] - want).max() < 1e-3


def test_the_held_out_images_are_copied(trained):
    names = {os.path.relpath(os.path.join(base, f), trained.held_out) for base, _, files in os.walk(trained.held_out) for f in files}
    assert names == set(json.loads((trained.version(1) / "expected.json").read_text())) and len(names) == 250
    for name in sorted(names)[:5]:
        assert (trained.held_out / name).read_bytes() == (trained.images / name).read_bytes()


def test_a_finished_training_is_exported_once_unless_wanted_again(trained, tmp_path):
    output = trained.run()
    assert "complete and exported" in output
    assert [e.name for e in (trained.repository / "clothes").iterdir()] == ["1"]
    copy = tmp_path / "models"
    for number in ("1", "2"):
        output = trained.run("export", f"export.repository={copy}")
        assert (copy / "clothes" / number / "model.onnx").exists(), output
    assert sorted(e.name for e in copy.iterdir()) == ["clothes"] and sorted(e.name for e in (copy / "clothes").iterdir()) == ["1", "2"]


def test_the_server_needs_no_definition(trained):
    done = serve("models", "check", "clothes", "--repository.dir", trained.repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (trained.repository / "clothes" / "model.yaml").exists()
    assert "inferred from Fovea" in done.stdout and "assum" not in done.stdout, done.stdout


def verify(trained, images, expected, count):
    """Lets the server compare its answers for a number of images with those expected."""
    done = serve("models", "verify", "clothes", "--repository.dir", trained.repository, "--images", images,
                 "--expect", expected, "--json", "--min-agreement", "0.99")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["compared"] == count and report["failed"] == 0
    assert report["top1"] >= 0.99 and report["mean_score_difference"] <= 0.01, report
    print(count, "images: top-1 agreement", report["top1"], "mean score difference", report["mean_score_difference"])


def test_the_server_answers_as_the_training_did(trained):
    verify(trained, trained.images, trained.version(1) / "expected.json", 250)


def test_photographs_that_shrink_get_the_same_scores(trained, tmp_path):
    rng, samples = random.Random(1), []
    for photo in sorted((ROOT / "testdata" / "images").glob("*.jpg")):
        with Image.open(photo) as whole:
            for i in range(12):  # parts of many sizes and shapes
                w, h = (rng.randint(min(140, side), side) for side in whole.size)
                x, y = rng.randint(0, whole.width - w), rng.randint(0, whole.height - h)
                name = f"{photo.stem}-{i}.jpg"
                whole.convert("RGB").crop((x, y, x + w, y + h)).save(tmp_path / name, quality=rng.choice([75, 90, 98]))
                samples.append(data.Sample(str(tmp_path), name, 0, ""))
    training = types.SimpleNamespace(config=config.load(None, trained.arguments), model=trained.network(),
                                     images=data.Images(sorted(os.listdir(trained.images)), [], samples, {}))
    answers, _ = export.predict(training, (trained.version(1) / "model.onnx").read_bytes())
    (tmp_path / "expected.json").write_text(json.dumps(answers))
    assert len(samples) >= 36
    verify(trained, tmp_path, tmp_path / "expected.json", len(samples))


def definition(**changes):
    d = export.define(config.load(None, ["data.size=96", "data.resize=110"])) | {"labels": "labels.txt"}
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            d[section] = {k: v for k, v in {**d[section], name: value}.items() if v is not None}
        else:
            d[section] = value
    return d


@pytest.mark.parametrize(("changes", "labels", "wrong"), [
    ({}, "cat\ndog\n", None),
    ({"input__width": None, "input__name": None}, "cat\ndog\n", None),
    ({"input__interpolation": "area_linear"}, "cat\ndog\n", "input.interpolation is area_linear, want pillow_bicubic"),
    ({"input__shortest_edge": None}, "cat\ndog\n", "input.shortest_edge is not given, want 110"),
    ({"task": "detection"}, "cat\ndog\n", "task is detection"),
    ({}, "dog\ncat\n", "does not list the classes cat, dog"),
    ({}, None, "does not list the classes"),
])
def test_a_definition_that_contradicts_the_new_version_is_refused(tmp_path, changes, labels, wrong):
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(definition(**changes)))
    if labels is not None:
        (tmp_path / "labels.txt").write_text(labels)
    new = export.define(config.load(None, ["data.size=96", "data.resize=110"]))
    if wrong is None:
        export.check_definition(tmp_path / "model.yaml", new, ["cat", "dog"])
    else:
        with pytest.raises(TrainingError, match=re.escape(wrong)):
            export.check_definition(tmp_path / "model.yaml", new, ["cat", "dog"])


def test_versions_are_whole_and_none_is_lost(tmp_path):
    home, seen, stop = tmp_path / "model", set(), threading.Event()

    def watch():
        while not stop.is_set():
            for entry in home.iterdir() if home.exists() else ():
                assert (entry / "b").read_bytes() == (entry / "a").read_bytes() != b"", entry
                seen.add(entry.name)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        watcher = pool.submit(watch)
        paths = list(pool.map(lambda i: export.install(home, {"a": b"%d" % i * 99, "b": b"%d" % i * 99}), range(20)))
        stop.set()
        watcher.result(DEADLINE)
    assert sorted(int(p.name) for p in paths) == list(range(1, 21))
    assert sorted(os.listdir(tmp_path)) == ["model"] and seen
    (home / "notes").mkdir()
    assert export.install(home, {"a": b""}).name == "21"


def test_a_repository_that_is_not_writable_is_named(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(export.tempfile, "mkdtemp", refuse)
    with pytest.raises(TrainingError, match="must be writable for uid"):
        export.install(tmp_path / "model", {})


def test_a_network_that_onnx_cannot_express_is_refused(clothes, tmp_path, start):
    clothes(tmp_path / "images", 10)
    repository = tmp_path / "models"
    status, output = start(*settings(tmp_path / "images", tmp_path / "out", train__epochs=1, model__name="networks:unexportable",
                                     export__repository=repository)).end()
    assert status == 1 and "differs from the network" in output, output
    assert not list(repository.rglob("model.onnx"))


def test_a_running_server_takes_over_a_new_version_without_a_failed_request(trained, tmp_path):
    repository = tmp_path / "models"
    shutil.copytree(trained.repository, repository)
    names = sorted(json.loads((trained.version(1) / "expected.json").read_text()))[:20]
    images = [(trained.images / name).read_bytes() for name in names]
    server, stop = Server(repository), threading.Event()
    answers = []

    def load():
        while not stop.is_set():
            for image in images:
                status, body = server.get("/v1/models/clothes/predict", image)
                answers.append((status, json.loads(body).get("version") if status == 200 else body))

    try:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(load) for _ in range(4)]
            try:
                server.wait(lambda: len(answers) > 50)
                trained.run("export", f"export.repository={repository}")
                server.wait(lambda: (200, "2") in answers[-20:])
                more = len(answers) + 50
                server.wait(lambda: len(answers) > more)
            finally:
                stop.set()
            for client in clients:
                client.result(60)
        failed = [a for a in answers if a[0] != 200]
        assert not failed, failed[:3]
        assert {version for _, version in answers} == {"1", "2"}
        print(len(answers), "requests, 0 failed")
    finally:
        server.stop()
