#!/usr/bin/env python3
"""Makes the tiny ONNX models in this folder and golden.json.

Needs the Python packages onnx 1.23 and numpy. The golden outputs are computed with numpy alone, written here from the
operators' definitions, so that they are independent of ONNX Runtime.
"""
import json
import pathlib

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

HERE = pathlib.Path(__file__).parent


def save(name, nodes, inputs, outputs, weights=(), **options):
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(*o) for o in outputs],
        [numpy_helper.from_array(v, k) for k, v in weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.producer_name = "fovea"
    onnx.save(model, HERE / f"{name}.onnx", **options)


def numbers(*shape):
    """Fixed values between -1 and 1 that are not symmetric."""
    return np.sin(np.arange(np.prod(shape)) * 1.7 + 0.3).astype(np.float32).reshape(shape)


def golden():
    """conv: 3x3 convolution with bias, ReLU, mean over the image."""
    kernel, bias = numbers(2, 3, 3, 3), np.array([0.1, -0.2], np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"], ["c"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("ReduceMean", ["r"], ["y"], axes=[2, 3], keepdims=0),
    ]
    save("conv", nodes, [("x", T.FLOAT, ["n", 3, 6, 5])], [("y", T.FLOAT, ["n", 2])], [("k", kernel), ("b", bias)])
    save("external", nodes, [("x", T.FLOAT, ["n", 3, 6, 5])], [("y", T.FLOAT, ["n", 2])],
         [("k", kernel), ("b", bias)], save_as_external_data=True, location="external.data", size_threshold=0)

    x = numbers(8, 3, 6, 5)
    y = np.zeros((8, 2))
    for n in range(8):
        for f in range(2):
            total = 0.0
            for i in range(4):
                for j in range(3):
                    patch = x[n, :, i:i + 3, j:j + 3].astype(np.float64)
                    total += max(0.0, float((patch * kernel[f]).sum() + bias[f]))
            y[n, f] = total / 12
    (HERE / "golden.json").write_text(json.dumps(
        {"x": [[float(v) for v in row.ravel()] for row in x], "y": [[round(v, 7) for v in row] for row in y.tolist()]}) + "\n")


def element_types():
    """types: one input and one output of every supported element type: f+1, h*2, 255-u, i-1, l*3."""
    one = lambda name, value, kind: (name, np.array(value, kind))
    save(
        "types",
        [
            helper.make_node("Add", ["f", "f1"], ["fo"]),
            helper.make_node("Mul", ["h", "h2"], ["ho"]),
            helper.make_node("Cast", ["u"], ["u32"], to=T.INT32),
            helper.make_node("Sub", ["u255", "u32"], ["uinv"]),
            helper.make_node("Cast", ["uinv"], ["uo"], to=T.UINT8),
            helper.make_node("Sub", ["i", "i1"], ["io"]),
            helper.make_node("Mul", ["l", "l3"], ["lo"]),
        ],
        [("f", T.FLOAT, ["n", 3]), ("h", T.FLOAT16, ["n", 3]), ("u", T.UINT8, ["n", 3]), ("i", T.INT32, ["n", 2]),
         ("l", T.INT64, ["n", 1])],
        [("fo", T.FLOAT, ["n", 3]), ("ho", T.FLOAT16, ["n", 3]), ("uo", T.UINT8, ["n", 3]), ("io", T.INT32, ["n", 2]),
         ("lo", T.INT64, ["n", 1])],
        [one("f1", 1, np.float32), one("h2", 2, np.float16), one("u255", 255, np.int32), one("i1", 1, np.int32),
         one("l3", 3, np.int64)],
    )


def shapes():
    """Models whose shapes are fixed, open, or change from run to run."""
    half = [("half", np.array(0.5, np.float32))]
    two = [("two", np.array(2, np.float32))]
    double = [helper.make_node("Mul", ["x", "two"], ["y"])]
    save("fixed4", double, [("x", T.FLOAT, [4, 2])], [("y", T.FLOAT, [4, 2])], two)
    save("open", [helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])],
         [("x", T.FLOAT, ["n", 1, "h", "w"])], [("y", T.FLOAT, ["n", 1, "h2", "w2"])])
    # The columns of which some row has more than 0.5: how many changes with the content, the same for all rows.
    save("columns",
         [helper.make_node("ReduceMax", ["x"], ["m"], axes=[0], keepdims=0), helper.make_node("Greater", ["m", "half"], ["c"]),
          helper.make_node("Compress", ["x", "c"], ["y"], axis=1)],
         [("x", T.FLOAT, ["n", 6])], [("y", T.FLOAT, ["n", "k"])], half)
    # A list without a batch dimension: 7, then all values above 2. Probe runs never hold any.
    save("surprise",
         [helper.make_node("Greater", ["x", "two"], ["c"]), helper.make_node("Compress", ["x", "c"], ["p"]),
          helper.make_node("Concat", ["seven", "p"], ["y"], axis=0)],
         [("x", T.FLOAT, [1, 6])], [("y", T.FLOAT, ["k"])], two + [("seven", np.array([7], np.float32))])
    save("summed", [helper.make_node("ReduceSum", ["x", "axis"], ["y"], keepdims=0)],
         [("x", T.FLOAT, ["n", 6])], [("y", T.FLOAT, [6])], [("axis", np.array([0], np.int64))])
    save("halfopen",
         [helper.make_node("Cast", ["x"], ["h"], to=T.FLOAT16), helper.make_node("NonZero", ["x"], ["z"]),
          helper.make_node("Cast", ["z"], ["y"], to=T.FLOAT16)],
         [("x", T.FLOAT, [1, 6])], [("y", T.FLOAT16, ["a", "b"])])


def quantized():
    """A quantized convolution, for which ONNX Runtime has a kernel on the CPU and none on CUDA."""
    one, zero = ("s", np.array(1, np.float32)), ("z", np.array(0, np.uint8))
    kernel = ("k", np.ones((2, 3, 3, 3), np.int8)), ("kz", np.array(0, np.int8))
    save("quantized",
         [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
          helper.make_node("QLinearConv", ["q", "s", "z", "k", "s", "kz", "s", "z"], ["c"]),
          helper.make_node("DequantizeLinear", ["c", "s", "z"], ["y"])],
         [("x", T.FLOAT, ["n", 3, 6, 5])], [("y", T.FLOAT, ["n", 2, 4, 3])], [one, zero, *kernel])


def refused():
    """Models that must be refused with a clear message."""
    save("float64", [helper.make_node("Identity", ["x"], ["y"])], [("x", T.DOUBLE, ["n", 2])], [("y", T.DOUBLE, ["n", 2])])
    save("unknown", [helper.make_node("Nonsense", ["x"], ["y"], domain="")], [("x", T.FLOAT, ["n", 2])],
         [("y", T.FLOAT, ["n", 2])])


(HERE / "external.data").unlink(missing_ok=True)
golden()
element_types()
shapes()
quantized()
refused()
