"""Tests of the quantizer, with a small network."""

import json

import numpy
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fovea_training import quantize


@pytest.fixture
def network(tmp_path):
    """A file with two convolutions, one of them with a batch normalization, and a last layer; and rows to calibrate with."""
    random = numpy.random.default_rng(1)

    def weight(name, *shape):
        return numpy_helper.from_array(random.normal(0, 0.3, shape).astype(numpy.float32), name)

    normalization = {"scale": 2, "bias": 0.1, "mean": 0.2, "var": 1.5}
    weights = [weight("w1", 8, 3, 3, 3), weight("w2", 8, 8, 3, 3), weight("w3", 8, 4),
               *(numpy_helper.from_array(numpy.full(8, v, numpy.float32), name) for name, v in normalization.items())]
    nodes = [helper.make_node("Conv", ["x", "w1"], ["a"], name="first"),
             helper.make_node("BatchNormalization", ["a", "scale", "bias", "mean", "var"], ["b"]),
             helper.make_node("Relu", ["b"], ["c"]),
             helper.make_node("Conv", ["c", "w2"], ["d"], name="middle"),
             helper.make_node("GlobalAveragePool", ["d"], ["e"]),
             helper.make_node("Flatten", ["e"], ["f"]),
             helper.make_node("MatMul", ["f", "w3"], ["y"], name="last")]
    graph = helper.make_graph(nodes, "network", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 12, 12])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"who": "test"})
    onnx.save(model, tmp_path / "model.onnx")
    rows = tmp_path / "rows"
    rows.mkdir()
    (rows / "inputs.json").write_text(json.dumps(["x"]))
    for i in range(6):
        numpy.save(rows / f"{i:05}-0.npy", random.normal(0, 1, (1, 3, 12, 12)).astype(numpy.float32))
    return tmp_path


def run(folder, capsys, *arguments):
    quantize.main(["--model", str(folder / "model.onnx"), "--rows", str(folder / "rows"), "--out", str(folder / "out"), *arguments])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    return [line for line in lines if "candidate" in line], lines


@pytest.mark.parametrize(("bits", "largest"), [(7, 64), (8, 127)])
def test_int8(network, capsys, bits, largest):
    made, lines = run(network, capsys, "--weight-bits", str(bits), "--methods", "minmax,entropy,percentile")
    assert [m["method"] for m in made] == ["minmax", "entropy", "percentile"]
    assert {"progress": "calibrating by entropy: 6 of 6 images"} in lines
    model = onnx.load(made[0]["candidate"])
    onnx.checker.check_model(model)
    weights = [numpy_helper.to_array(i) for i in model.graph.initializer if i.data_type == TensorProto.INT8 and len(i.dims) > 1]
    assert len(weights) == 3
    assert max(abs(w.astype(int)).max() for w in weights) == largest
    assert not [n for n in model.graph.node if n.op_type == "BatchNormalization"], "it costs time, and hinders int8 convolutions"
    metadata = {p.key: p.value for p in model.metadata_props}
    assert metadata["who"] == "test"
    assert json.loads(metadata["fovea.optimized"])["weight_bits"] == bits


def test_ends_keep_float32(network, capsys):
    made, _ = run(network, capsys, "--methods", "minmax", "--leave-out", "ends")
    assert made[0]["left_out"] == ["first", "last"]
    model = onnx.load(made[0]["candidate"])
    assert len([i for i in model.graph.initializer if i.data_type == TensorProto.INT8 and len(i.dims) > 1]) == 1


def test_float16(network, capsys):
    made, _ = run(network, capsys, "--to", "fp16")
    model = onnx.load(made[0]["candidate"])
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT, "requests stay as they are"
    assert [i for i in model.graph.initializer if i.data_type == TensorProto.FLOAT16]


def test_unknown_method(network, capsys):
    with pytest.raises(SystemExit):
        run(network, capsys, "--methods", "guess")
