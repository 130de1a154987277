"""A trained model in the repository, and in the server."""

import concurrent.futures
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import numpy
import onnx
import onnxruntime
import pytest
import torch
import yaml
from conftest import DEADLINE, ROOT, Process, folder_of, settings

from fovea_training import TrainingError, config, export

SERVE = os.environ.get("FOVEA_SERVE", str(ROOT / "bin" / "serve"))


class Trained:
    """A training of EfficientNet-Lite0, first the head and then everything, on ten classes, exported as the model clothes."""

    def __init__(self, base, clothes):
        self.images, self.out, self.repository = base / "images", base / "runs", base / "models"
        clothes(self.images, 50)
        self.arguments = settings(self.images, self.out, model__name="efficientnet_lite0", data__size=96, data__resize=110, data__workers=2,
                                  data__held_out=0.5, train__batch=32, train__epochs=4, train__head_epochs=3, log__every=1, export__repository=self.repository,
                                  export__name="clothes", export__held_out=base / "held-out")
        self.held_out, self.alive = base / "held-out", base / "alive"
        self.output = self.run()

    def run(self, *arguments):
        status, output = Process(*arguments, *self.arguments, FOVEA_TRAINING_ALIVE=self.alive, FOVEA_REVISION="1234abcd").end()
        assert status == 0, output
        return output

    def version(self, number):
        return self.repository / "clothes" / str(number)

    def metadata(self, number=1):
        return {p.key: p.value for p in onnx.load(self.version(number) / "model.onnx").metadata_props}


@pytest.fixture(scope="session")
def trained(clothes, tmp_path_factory):
    return Trained(tmp_path_factory.mktemp("trained"), clothes)


def serve(*arguments):
    return subprocess.run([SERVE, *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE, check=False)


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
    from fovea_training import model

    network = model.EfficientNetLite0(10, 96).eval()
    network.load_state_dict(torch.load(folder_of(trained.out) / "best.pt", weights_only=True)["model"])
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
    status, output = Process("export", *trained.arguments, f"export.repository={copy}", FOVEA_TRAINING_ALIVE=trained.alive).end()
    assert status == 0 and (copy / "clothes" / "1" / "model.onnx").exists(), output
    status, output = Process("export", *trained.arguments, f"export.repository={copy}", FOVEA_TRAINING_ALIVE=trained.alive).end()
    assert status == 0 and (copy / "clothes" / "2" / "model.onnx").exists(), output
    assert sorted(e.name for e in copy.iterdir()) == ["clothes"] and sorted(e.name for e in (copy / "clothes").iterdir()) == ["1", "2"]


def test_the_server_needs_no_definition(trained):
    done = serve("models", "check", "clothes", "--repository.dir", trained.repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (trained.repository / "clothes" / "model.yaml").exists()
    assert "metadata fovea.definition" in done.stdout and "assumed" not in done.stdout, done.stdout


def test_the_server_answers_as_the_training_did(trained):
    done = serve("models", "verify", "clothes", "--repository.dir", trained.repository, "--images", trained.images,
                 "--expect", trained.version(1) / "expected.json", "--json", "--min-agreement", "0.99")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["compared"] == 250 and report["failed"] == 0
    assert report["top1"] >= 0.99 and report["mean_score_difference"] <= 0.01, report
    print("top-1 agreement", report["top1"], "mean score difference", report["mean_score_difference"])


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


# ---- a running server ----


class Server:
    def __init__(self, repository, *arguments):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{s.getsockname()[1]}"
        self.process = subprocess.Popen([SERVE, "--http.address", self.url[7:], "--repository.dir", repository,
                                         "--repository.poll", "500ms", *arguments], stderr=subprocess.PIPE, text=True)
        self.log = []
        threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True).start()
        self.wait(lambda: self.get("/ready")[0] == 200)

    def get(self, path, data=None):
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "image/png"} if data else {})
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError as error:
            return 0, str(error).encode()

    def wait(self, holds):
        end = time.monotonic() + 60
        while not holds():
            assert self.process.poll() is None and time.monotonic() < end, "".join(self.log)
            time.sleep(0.1)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(60) == 0


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
                status, output = Process("export", *trained.arguments, f"export.repository={repository}",
                                         FOVEA_TRAINING_ALIVE=trained.alive).end()
                assert status == 0, output
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
