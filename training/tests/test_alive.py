"""The heartbeat is progress, not time."""

import os
import subprocess
import sys
import time

import pytest
from conftest import HERE, settings


def check(file):
    done = subprocess.run([sys.executable, "-m", "fovea_training", "alive"], capture_output=True, text=True, check=False, timeout=60,
                          env={**os.environ, "PYTHONPATH": str(HERE.parent), "TRAIN_ALIVE": str(file)})
    return done.returncode, done.stdout


def age(file, seconds):
    when = time.time() - seconds
    os.utime(file, (when, when))


def test_the_check_fails_without_a_training(tmp_path):
    status, output = check(tmp_path / "absent")
    assert status == 1 and "no training has begun" in output


@pytest.mark.parametrize(("seconds", "status"), [(0, 0), (270, 0), (302, 1), (100000, 1)])
def test_the_check_fails_after_five_minutes_without_progress(tmp_path, seconds, status):
    (tmp_path / "alive").touch()
    age(tmp_path / "alive", seconds)
    got, output = check(tmp_path / "alive")
    assert got == status and "300 s" in output


def test_a_training_that_hangs_is_noticed(clothes, tmp_path, start):
    clothes(tmp_path / "images", 10)
    training = start(*settings(tmp_path / "images", tmp_path / "out", model__name="networks:hanging"))
    assert training.until("hanging")
    assert check(tmp_path / "alive")[0] == 0
    age(tmp_path / "alive", 400)  # as after five minutes
    time.sleep(1.5)  # a heartbeat by a timer would come back to life
    assert training.process.poll() is None
    status, output = check(tmp_path / "alive")
    assert status == 1 and "40" in output


def test_the_check_does_not_load_pytorch():
    code = "import sys, fovea_training.__main__ as m; m.main(['alive']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(HERE.parent)}, check=False).returncode == 0
