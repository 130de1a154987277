"""The device to train on, and why CUDA cannot be used."""

import pathlib
import re

import torch

from . import TrainingError

# The oldest Linux driver of each CUDA major version. Source: NVIDIA, "CUDA Compatibility", Minor Version Compatibility, table 1.
MINIMUM_DRIVER = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}
DRIVER = pathlib.Path("/proc/driver/nvidia/version")
STUBS = pathlib.Path(torch.__file__).parent / "lib" / "libno_cuda.so"


def without_cuda(cuda, driver=DRIVER, stubs=STUBS):
    """Returns why no GPU can be used, given the CUDA version that PyTorch was built with."""
    if not cuda or stubs.exists():
        return "this installation of PyTorch has no CUDA libraries: use the image fovea-train, not fovea-train:cpu"
    minimum = MINIMUM_DRIVER.get(int(cuda.partition(".")[0]), "of that CUDA version")
    try:
        found = re.search(r"Kernel Module.*? (\d+\.\d+[.\d]*)\s", driver.read_text())
    except OSError:
        found = None
    if not found:
        return (f"no NVIDIA driver is visible: give the container a GPU (train-gpu in compose.yaml); CUDA {cuda} needs driver {minimum} "
                "or newer")
    if tuple(map(int, found[1].split("."))) < tuple(map(int, re.findall(r"\d+", minimum))):
        return f"driver {found[1]} is too old for CUDA {cuda}: needs {minimum} or newer"
    return f"driver {found[1]} is new enough for CUDA {cuda}, but CUDA finds no GPU: give the container one (train-gpu in compose.yaml)"


def choose(wanted, say):
    """Returns the torch device for train.device, and makes its results reproducible."""
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    if wanted != "cpu" and torch.cuda.is_available():
        say(f"training on {torch.cuda.get_device_name()}")
        return torch.device("cuda")
    if wanted != "cpu":
        why = without_cuda(torch.version.cuda)
        if wanted == "cuda":
            raise TrainingError(f"train.device: {why}")
        say(f"training on the CPU: {why}")
    return torch.device("cpu")
