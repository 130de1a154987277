"""Measures PyTorch with ResNet-50 and the weights that `bench gpu` wrote: torch_reference.py WORK DEVICE SECONDS.

Prints a list of cases as JSON. A case from the host copies a pinned batch to the GPU and the outputs back each time, like
the plain loop over ONNX Runtime; one on the GPU runs the same batch, which is already there. A graph replays the kernels
without PyTorch's launch overhead. Outputs of ONNX Runtime in WORK are compared with PyTorch's float32.
"""
import json
import pathlib
import sys
import time

try:
    import numpy as np
    import torch
    import torchvision
except ImportError as missing:
    print(json.dumps([{"model": "resnet50", "case": "PyTorch", "left_out": str(missing)}]))
    sys.exit()

WORK, DEVICE, SECONDS = pathlib.Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
CUDA = DEVICE.startswith("cuda")
BATCHES = (1, 8, 32, 64, 128) if CUDA else (1,)


def network():
    """torchvision's resnet50 with the weights of the file, which holds them in the order of state_dict."""
    net = torchvision.models.resnet50(weights=None).eval()
    values, at = np.fromfile(WORK / "weights.f32", np.float32), 0
    state = net.state_dict()
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        size = tensor.numel()
        state[name] = torch.from_numpy(values[at:at + size].reshape(tensor.shape).copy())
        at += size
    assert at == len(values), f"the file has {len(values)} values, the network takes {at}"
    net.load_state_dict(state)
    return net


def synchronize():
    if CUDA:
        torch.cuda.synchronize()


def rate(run, batch):
    """Images per second, after a warm-up of a third of the time."""
    for length in (SECONDS / 3, SECONDS):
        runs, start = 0, time.perf_counter()
        while True:
            run()
            runs += 1
            if runs % 4 == 0 or not CUDA:
                synchronize()
                if time.perf_counter() - start >= length:
                    break
        elapsed = time.perf_counter() - start
    return runs * batch / elapsed


def case(cases, model, name, batch, run):
    """Adds a case; a failure is recorded in it."""
    entry = {"model": model, "case": "PyTorch, " + name, "batch": batch, "images_per_second": 0}
    try:
        entry["images_per_second"] = rate(run(), batch)
    except Exception as error:  # of any kind: out of memory, no kernel, no graph
        entry["error"] = f"{type(error).__name__}: {error}"[:300]
    cases.append(entry)


def from_host(net, rows, batch):
    host = rows[:batch].clone().pin_memory() if CUDA else rows[:batch].clone()
    answers = torch.empty(batch, 1000, dtype=rows.dtype, pin_memory=CUDA)

    def run():
        answers.copy_(net(host.to(DEVICE, non_blocking=True).contiguous(memory_format=torch.channels_last)), non_blocking=True)
        synchronize()  # the outputs are needed before the next batch
    return run


def on_device(net, rows, batch):
    x = rows[:batch].to(DEVICE).contiguous(memory_format=torch.channels_last)
    return lambda: net(x)


def graph(net, rows, batch):
    x = rows[:batch].to(DEVICE).contiguous(memory_format=torch.channels_last)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            net(x)
    torch.cuda.current_stream().wait_stream(stream)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        net(x)
    return recorded.replay


def differences(cases, net):
    """Compares the outputs that ONNX Runtime left with PyTorch's in float32 without TF32."""
    rows = torch.from_numpy(np.fromfile(WORK / "rows.f32", np.float32)[:8 * 3 * 224 * 224].reshape(8, 3, 224, 224))
    want = net(rows.to(DEVICE)).float().cpu().numpy()
    for model, dtype in (("resnet50-fp32", np.float32), ("resnet50-fp16", np.float16)):
        path = WORK / f"outputs-{model}"
        if not path.exists():
            continue
        got = np.fromfile(path, dtype).astype(np.float32).reshape(want.shape)
        cases.append({"model": model, "case": "PyTorch float32, outputs compared", "batch": 8, "images_per_second": 0,
                      "difference": float(np.abs(got - want).max() / np.abs(want).max())})


def main():
    cases = []
    with torch.inference_mode():
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        net = network().to(DEVICE)
        differences(cases, net)
        torch.backends.cudnn.benchmark = True
        net = net.to(memory_format=torch.channels_last)
        dtype = torch.float16 if CUDA else torch.float32
        net = net.to(dtype)
        model = "resnet50-fp16" if CUDA else "resnet50-fp32"
        rows = torch.empty(max(BATCHES), 3, 224, 224).uniform_(-2, 2).to(dtype)
        for batch in BATCHES:
            case(cases, model, "from the host", batch, lambda: from_host(net, rows, batch))
            if CUDA and batch in (8, 64, 128):
                case(cases, model, "on the GPU", batch, lambda: on_device(net, rows, batch))
                case(cases, model, "on the GPU, as a graph", batch, lambda: graph(net, rows, batch))
    print(json.dumps(cases))


main()
