"""Networks that tests train by model.name=networks:…."""

import os
import time

import torch
from torch import nn


class Small(nn.Module):
    """A network that trains in a moment."""

    def __init__(self, classes, size):
        super().__init__()
        self.body = nn.Sequential(nn.AvgPool2d(size // 8), nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(32, classes)

    def forward(self, x):
        return self.head(self.body(x))


small = Small


class Hanging(Small):
    """Computes forever in its third batch."""

    def forward(self, x):
        self.calls = getattr(self, "calls", 0) + 1
        while self.calls == 3:
            print("hanging", flush=True)
            time.sleep(60)
        return super().forward(x)


hanging = Hanging


class Unexportable(Small):
    """Has a branch that depends on the image, which ONNX cannot express."""

    def forward(self, x):
        return super().forward(x) * (1 if float(x.sum()) == 0 else 2)


unexportable = Unexportable


class NotFinite(Small):
    def forward(self, x):
        return super().forward(x) / torch.zeros(1)


not_finite = NotFinite


def no_network(classes, size):
    return os.getcwd()
