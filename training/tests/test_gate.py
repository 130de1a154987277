"""A spoilt version does not replace a good one in a running server, and no request fails."""

import json
import re
import shutil
import threading

import numpy
import onnx
import pytest
import yaml
from serving import Server, serve

from fovea_training import config, export


def spoil(weights):
    """Returns an ONNX file whose last layer takes its classes for others."""
    file = onnx.load_from_string(weights)
    last = next(node for node in reversed(file.graph.node) if node.op_type == "Gemm")
    for initializer in file.graph.initializer:
        if initializer.name in last.input[1:]:
            rows = onnx.numpy_helper.to_array(initializer)
            initializer.CopyFrom(onnx.numpy_helper.from_array(numpy.roll(rows, 3, axis=0), initializer.name))
    return file.SerializeToString()


def test_a_spoilt_version_is_refused_and_a_good_one_taken(trained, tmp_path):
    if "--against" not in serve("models", "verify", "--help").stdout:
        pytest.skip("this server has no versions.gate")
    repository, home = tmp_path / "models", tmp_path / "models" / "clothes"
    shutil.copytree(trained.repository, repository)
    definition = export.define(config.load(None, ["data.size=96", "data.resize=110"]))
    gate = {"images": str(trained.held_out), "min_accuracy": 0.5, "max_drop": 0.02}
    (home / "model.yaml").write_text(yaml.safe_dump(definition | {"labels": "labels.txt", "versions": {"gate": gate}}))
    (home / "labels.txt").write_text(trained.metadata()["fovea.labels"] + "\n")
    image = (trained.images / sorted(json.loads((trained.version(1) / "expected.json").read_text()))[0]).read_bytes()
    server, stop, answers = Server(repository), threading.Event(), []

    def load():
        while not stop.is_set():
            status, body = server.get("/v1/models/clothes/predict", image)
            answers.append((status, json.loads(body).get("version") if status == 200 else body))

    def versions():
        return {v["version"]: v for m in json.loads(server.get("/v1/models")[1])["models"] for v in m["versions"]}

    client = threading.Thread(target=load)
    client.start()
    try:
        server.wait(lambda: len(answers) > 5)
        export.install(home, {"model.onnx": spoil((trained.version(1) / "model.onnx").read_bytes())})
        server.wait(lambda: versions().get("2", {}).get("gate", {}).get("passed") is False)
        refused = versions()["2"]
        assert (refused["gate"]["images"] == 250 and "max_drop" in json.dumps(refused)) or "min_accuracy" in json.dumps(refused), refused
        assert re.search(r'fovea_gate_refused\{model="clothes",reason="\w+",version="2"\} 1', server.get("/metrics")[1].decode())
        server.wait(lambda: any("gate" in line and '"2"' in line for line in server.log))
        before = len(answers)
        server.wait(lambda: len(answers) > before + 20)
        assert {version for _, version in answers} == {"1"}
        trained.run("export", f"export.repository={repository}")
        server.wait(lambda: answers[-1] == (200, "3"))
    finally:
        stop.set()
        client.join(60)
        server.stop()
    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} == {"1", "3"}
