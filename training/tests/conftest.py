"""What the tests share: images, and trainings as processes."""

import os
import pathlib
import re
import subprocess
import sys
import threading

import pytest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import fashion  # noqa: E402

DEADLINE = 900  # seconds for a process on a busy machine


@pytest.fixture(scope="session")
def clothes():
    """Returns a function that writes images of ten classes to a folder. scripts/training test installs the data set."""
    source = os.environ.get("FOVEA_TEST_FASHION_MNIST")
    if not source:
        pytest.fail("FOVEA_TEST_FASHION_MNIST is not set; run the tests with scripts/training test")
    return lambda folder, count, first=0: fashion.write(source, folder, count, first)


@pytest.fixture(scope="module")
def images(clothes, tmp_path_factory):
    """Ten images of each class."""
    folder = tmp_path_factory.mktemp("images")
    clothes(folder, 10)
    return folder


class Process:
    """A training as a process, whose lines are read as they are printed."""

    def __init__(self, *arguments, prefix=(), terminal=None, **environment):
        env = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
        env |= {"PYTHONPATH": f"{HERE.parent}:{HERE}", **{k: str(v) for k, v in environment.items()}}
        self.lines = []
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "fovea_training", *map(str, arguments)], env=env, text=True,
            stdout=terminal or subprocess.PIPE, stderr=terminal or subprocess.STDOUT)
        self.watch = threading.Timer(DEADLINE, self.process.kill)
        self.watch.start()

    def until(self, pattern):
        """Reads to the first line that matches, and returns the match; None at the end."""
        for line in self.process.stdout:
            self.lines.append(line)
            if match := re.search(pattern, line):
                return match
        return None

    def end(self):
        """Waits for the end and returns the exit status and the whole output."""
        if self.process.stdout:
            self.until("(?!)")
        status = self.process.wait(DEADLINE)
        self.watch.cancel()
        return status, "".join(self.lines)


@pytest.fixture
def start(tmp_path):
    """Starts trainings with a separate heartbeat; ends those that a test leaves behind."""
    processes = []

    def begin(*arguments, **options):
        options = {"TRAIN_ALIVE": tmp_path / "alive", **options}
        processes.append(Process(*arguments, **options))
        return processes[-1]

    yield begin
    for p in processes:
        p.process.kill()
        p.end()


@pytest.fixture(scope="session")
def trained(clothes, tmp_path_factory):
    from serving import Trained

    return Trained(tmp_path_factory.mktemp("trained"), clothes)


def namespace(script):
    """Returns a prefix that runs a command in a new mount namespace after a script for sh, without leaving a mount behind."""
    user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--mount", "sh", "-ec", f'{script}; exec "$@"', "sh"]


def settings(data, out, **changed):
    """Returns the arguments of a short training with a small network. Keys are written with _ for the dot: train__lr."""
    keys = {"data.dir": data, "out.dir": out, "data.size": 32, "data.resize": 36, "data.workers": 0, "train.device": "cpu",
            "train.epochs": 2, "train.head_epochs": 1, "train.batch": 8, "train.threads": 1, "model.name": "networks:small",
            "log.every": 1, "export.repository": ""}
    keys |= {key.replace("__", "."): value for key, value in changed.items()}
    return [f"{key}={value}" for key, value in keys.items()]


def folder_of(out):
    """Returns the only training in out.dir."""
    (folder,) = (f for f in pathlib.Path(out).iterdir() if f.is_dir())
    return folder
