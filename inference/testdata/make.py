#!/usr/bin/env python3
"""Makes the tiny classifiers in this folder: which of red, green and blue an image has most of.

Needs the Python packages onnx 1.23 and numpy. The input is [N,3,8,8] or [N,8,8,3] float32, in colors-half float16;
the logits are ten times the mean of each channel.
"""
import pathlib

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

HERE = pathlib.Path(__file__).parent


def save(name, batch, nodes, weights=(), row=(3, 8, 8), axes=(2, 3), before=(), mean_of="image", extra=(), dtype=T.FLOAT):
    graph = helper.make_graph(
        [*before, helper.make_node("ReduceMean", [mean_of], ["mean"], axes=axes, keepdims=0), *nodes],
        name,
        [helper.make_tensor_value_info("image", dtype, [batch, *row]), *extra],
        [helper.make_tensor_value_info("logits", dtype, [batch, 3])],
        [numpy_helper.from_array(v if isinstance(v, np.ndarray) else np.array(v, np.float32), k) for k, v in weights],
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

save("colors-half", "n", [helper.make_node("Mul", ["mean", "ten"], ["scaled"]),
                          helper.make_node("Cast", ["scaled"], ["logits"], to=T.FLOAT16)],
     [("ten", 10)], before=[helper.make_node("Cast", ["image"], ["single"], to=T.FLOAT)], mean_of="single", dtype=T.FLOAT16)
# activations in uint8 and weights in int8, each with its scale, as quantizers write them
save("colors-int8", "n", [helper.make_node("DequantizeLinear", ["weights", "tenth"], ["w"]),
                          helper.make_node("MatMul", ["mean", "w"], ["logits"])],
     [("weights", 100 * np.eye(3, dtype=np.int8)), ("tenth", 0.1), ("step", 1 / 255), ("zero", np.array(0, np.uint8))],
     before=[helper.make_node("QuantizeLinear", ["image", "step", "zero"], ["q"]),
             helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["dq"])], mean_of="dq")
# a second input: an image that is wider than high is blue, whatever its pixels say
for name, two in ("colors-size", 2), ("colors-size-open", "two"):
    save(name, "n", [helper.make_node("Mul", ["mean", "ten"], ["seen"]), helper.make_node("Cast", ["size"], ["float"], to=T.FLOAT),
                     helper.make_node("MatMul", ["float", "difference"], ["wider"]),
                     helper.make_node("Clip", ["wider", "none", "one"], ["is"]),
                     helper.make_node("MatMul", ["is", "blue"], ["more"]),
                     helper.make_node("Add", ["seen", "more"], ["logits"])],
         [("ten", 10), ("difference", [[1], [-1]]), ("none", 0), ("one", 1), ("blue", [[0, 0, 100]])],
         extra=[helper.make_tensor_value_info("size", T.INT64, ["n", two])])

# loops that never end: whatever the image (colors-endless), and only where an image of the batch is much redder than green
# (colors-red-endless)
def loop(condition, weights, *compute):
    body = helper.make_graph([helper.make_node("Identity", ["goes"], ["goes_on"]), *compute], "body",
                             [helper.make_tensor_value_info("i", T.INT64, []), helper.make_tensor_value_info("goes", T.BOOL, []),
                              helper.make_tensor_value_info("sum", T.FLOAT, [])],
                             [helper.make_tensor_value_info("goes_on", T.BOOL, []), helper.make_tensor_value_info("next", T.FLOAT, [])])
    return ([helper.make_node("Loop", ["", condition, "none"], ["more"], body=body), helper.make_node("Mul", ["mean", "ten"], ["seen"]),
             helper.make_node("Add", ["seen", "more"], ["logits"])], [("ten", 10), ("none", 0), ("one", 1), *weights])


always, counts = ("always", np.array(True)), helper.make_node("Add", ["sum", "one"], ["next"])
save("colors-endless", "n", *loop("always", [always], counts))
nodes, weights = loop("red", [("difference", [[1], [-1], [0]]), ("limit", 0.9)], counts)
save("colors-red-endless", "n", [helper.make_node("MatMul", ["mean", "difference"], ["redder"]),
                                 helper.make_node("ReduceMax", ["redder"], ["reddest"], keepdims=0),
                                 helper.make_node("Greater", ["reddest", "limit"], ["red"]), *nodes], weights)

# one node that computes for seconds: no box of the many overlaps another, so that each is compared with all before it. The
# number of boxes is made of the image, else ONNX Runtime would compute it while it loads
boxes = 130_000
save("colors-slow-node", "n", [
    helper.make_node("ReduceMin", ["mean"], ["least"], keepdims=0),
    helper.make_node("Mul", ["least", "none"], ["zero"]),
    helper.make_node("Add", ["zero", "boxes"], ["end"]),
    helper.make_node("Range", ["none", "end", "one"], ["left"]),
    helper.make_node("Add", ["left", "half"], ["right"]),
    helper.make_node("Mul", ["left", "none"], ["top"]),
    helper.make_node("Add", ["top", "one"], ["bottom"]),
    *(helper.make_node("Unsqueeze", [side, "last"], [f"{side}s"]) for side in ("left", "top", "right", "bottom")),
    helper.make_node("Concat", ["tops", "lefts", "bottoms", "rights"], ["corners"], axis=1),
    helper.make_node("Unsqueeze", ["corners", "first"], ["list"]),
    helper.make_node("Unsqueeze", ["bottom", "two"], ["scores"]),
    helper.make_node("NonMaxSuppression", ["list", "scores", "many", "half"], ["kept"]),
    helper.make_node("Cast", ["kept"], ["numbers"], to=T.FLOAT),
    helper.make_node("ReduceMin", ["numbers"], ["more"], keepdims=0),
    helper.make_node("Mul", ["mean", "ten"], ["seen"]), helper.make_node("Add", ["seen", "more"], ["logits"])],
    [("ten", 10), ("none", 0), ("one", 1), ("half", 0.5), ("boxes", boxes), ("last", np.array([1])), ("first", np.array([0])),
     ("two", np.array([0, 1])), ("many", np.array([boxes]))])
