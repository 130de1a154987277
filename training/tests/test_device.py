import pytest

from fovea_training import device

PROPRIETARY = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Tue Jul 1 00:00:00 UTC 2026\nGCC version: gcc version 12.2.0\n"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build\n"


@pytest.mark.parametrize(("text", "driver", "cuda", "why"), [
    (PROPRIETARY, "535.183.01", "13.0", "driver 535.183.01 is too old for CUDA 13.0: needs 580.65.06 or newer"),
    (OPEN, "580.65.05", "13.2", "driver 580.65.05 is too old for CUDA 13.2: needs 580.65.06 or newer"),
    (PROPRIETARY, "580.65.06", "13.0", "driver 580.65.06 is new enough for CUDA 13.0, but CUDA finds no GPU"),
    (PROPRIETARY, "525.60.13", "12.8", "new enough"),
])
def test_the_driver_is_compared_with_the_minimum(tmp_path, text, driver, cuda, why):
    (tmp_path / "version").write_text(text.format(driver))
    assert why in device.without_cuda(cuda, tmp_path / "version", tmp_path / "no stubs")


def test_without_a_driver_or_libraries(tmp_path):
    assert "needs driver 580.65.06 or newer" in device.without_cuda("13.0", tmp_path / "absent", tmp_path / "absent")
    assert "no CUDA libraries" in device.without_cuda("13.0", tmp_path / "absent", tmp_path)
    assert "no CUDA libraries" in device.without_cuda(None)
