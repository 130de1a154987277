"""Makes logits.f32, the golden of resnet_test.go: torchvision's resnet50 in float32 on the CPU (torch 2.11, torchvision 0.26).

    go test ./tools/bench/resnet -run Weights -args -weights /tmp/weights.f32
    python3 tools/bench/resnet/testdata/make.py /tmp/weights.f32
"""
import pathlib
import sys

import numpy as np
import torch
import torchvision

SIZE = 224
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

net = torchvision.models.resnet50(weights=None).eval()
names = [name for name in net.state_dict() if not name.endswith("num_batches_tracked")]
shapes = [net.state_dict()[name].shape for name in names]
values = np.fromfile(sys.argv[1], np.float32)
assert len(values) == sum(shape.numel() for shape in shapes)
parts = np.split(values, np.cumsum([shape.numel() for shape in shapes])[:-1])
net.load_state_dict({name: torch.from_numpy(part.reshape(shape)) for name, part, shape in zip(names, parts, shapes)}, strict=False)

# The image of resnet_test.go: byte i of SIZE × SIZE × 3 is the top byte of the 32 bits of 2654435761 i.
image = ((np.arange(SIZE * SIZE * 3, dtype=np.uint64) * 2654435761 & 0xFFFFFFFF) >> 24).reshape(SIZE, SIZE, 3)
row = ((image / 255 - MEAN) / STD).transpose(2, 0, 1).astype(np.float32)
with torch.inference_mode():
    logits = net(torch.from_numpy(row)[None])[0].numpy()
assert logits.dtype == np.float32 and len(logits) == 1000
logits.tofile(pathlib.Path(__file__).parent / "logits.f32")
print(f"logits from {logits.min():.3f} to {logits.max():.3f}, deviation {logits.std():.3f}")
