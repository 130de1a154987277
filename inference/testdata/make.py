#!/usr/bin/env python3
"""Makes the tiny classifiers in this folder: which of red, green and blue a picture has most of.

Needs the Python packages onnx 1.23 and numpy. The input is [N,3,8,8] or [N,8,8,3] float32; the logits are ten times
the mean of each channel.
"""
import pathlib

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

HERE = pathlib.Path(__file__).parent


def save(name, batch, nodes, weights=(), row=(3, 8, 8), axes=(2, 3)):
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["image"], ["mean"], axes=axes, keepdims=0), *nodes],
        name,
        [helper.make_tensor_value_info("image", T.FLOAT, [batch, *row])],
        [helper.make_tensor_value_info("logits", T.FLOAT, [batch, 3])],
        [numpy_helper.from_array(np.array(v, np.float32), k) for k, v in weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.producer_name = "fovea"
    onnx.checker.check_model(model)
    onnx.save(model, HERE / f"{name}.onnx")


times = helper.make_node("Mul", ["mean", "ten"], ["logits"])
save("colors", "n", [times], [("ten", 10)])
save("colors-fixed4", 4, [times], [("ten", 10)])
save("colors-nhwc", "n", [times], [("ten", 10)], row=(8, 8, 3), axes=(1, 2))
# the logarithm of a negative number is no number
save("colors-nan", "n", [helper.make_node("Sub", ["mean", "two"], ["below"]), helper.make_node("Log", ["below"], ["logits"])],
     [("two", 2)])
