"""Nothing is lost: a training that is killed, stopped or out of space ends as one that was never interrupted."""

import os
import random
import re
import shutil
import signal
import time

import pytest
import torch
from conftest import DEADLINE, Process, folder_of, namespace, settings
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

STEP = r"step (\d+):"


def lite0(images, out, **more):
    """EfficientNet-Lite0, 20 steps in two epochs, with a checkpoint after each third."""
    options = {"model__name": "efficientnet_lite0", "out__save_every": 3, "data__workers": 1} | more
    return settings(images, out, **options)


@pytest.fixture(scope="module")
def undisturbed(images, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    status, output = Process(*lite0(images, out), TRAIN_ALIVE=out / "alive").end()
    assert status == 0, output
    (out / "alive").unlink()
    return folder_of(out)


def losses(folder):
    """Returns {tag: {step: value}} of TensorBoard's logs."""
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    points = {}
    for tag in events.Tags()["scalars"]:
        points[tag] = {}
        for event in events.Scalars(tag):
            assert points[tag].setdefault(event.step, event.value) == event.value, f"{tag} has two values at step {event.step}"
    return points


def same(a, b, where="checkpoint"):
    """Asserts that two checkpoints are equal in every bit."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{where}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a.view(torch.uint8) if a.dim() else a, b.view(torch.uint8) if b.dim() else b), where
    else:
        assert a == b, where


def assert_as_undisturbed(folder, undisturbed):
    for name in ("last.pt", "best.pt"):
        same(*(torch.load(f / name, weights_only=True) for f in (folder, undisturbed)), name)
    got, want = losses(folder), losses(undisturbed)
    assert sorted(want["train/loss"]) == list(range(1, max(want["train/loss"]) + 1))
    assert got == want
    assert folder.name == undisturbed.name


def kill_while_writing(training, out):
    """Kills a training while it writes a checkpoint; returns whether a part of one is left."""
    begin = time.monotonic()
    while time.monotonic() - begin < DEADLINE and training.process.poll() is None:
        parts = [os.path.join(out, f, "last.pt.part") for f in os.listdir(out)] if os.path.isdir(out) else []
        if any(map(os.path.exists, parts)):
            training.process.send_signal(signal.SIGKILL)
            training.process.wait(DEADLINE)
            return any(map(os.path.exists, parts))
    pytest.fail("no checkpoint was seen while it was written")


def test_kill_at_five_random_steps(images, undisturbed, tmp_path, start):
    out, seed = tmp_path / "out", random.randrange(10**6)
    print("seed", seed)
    steps = sorted(random.Random(seed).sample(range(1, max(losses(undisturbed)["train/loss"])), 4))
    killed = []
    for step in steps:
        training = start(*lite0(images, out))
        while (match := training.until(STEP)) and int(match[1]) < step:
            pass
        assert match, "".join(training.lines)
        training.process.send_signal(signal.SIGKILL)
        killed.append(int(match[1]))
        assert training.end()[0] == -signal.SIGKILL
        if step == steps[1]:
            for _ in range(20):
                training = start(*lite0(images, out, out__save_every=1))
                left = kill_while_writing(training, out)
                if left:
                    break
            assert left, "no part of a checkpoint was left"
    status, output = start(*lite0(images, out)).end()
    assert status == 0, output
    assert "continuing after step" in output, killed
    assert_as_undisturbed(folder_of(out), undisturbed)
    assert not list(folder_of(out).glob("*.part"))


@pytest.mark.parametrize("signals", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_batch_and_saves(images, undisturbed, tmp_path, start, signals):
    out = tmp_path / "out"
    training = start(*lite0(images, out, out__save_every=1000))
    training.until(r"step 4:")
    training.process.send_signal(signals)
    status, output = training.end()
    assert status == 0, output
    stopped = int(re.search(r"stopped after step (\d+)", output)[1])
    assert max(int(n) for n in re.findall(STEP, output)) == stopped
    assert torch.load(folder_of(out) / "last.pt", weights_only=True)["step"] == stopped >= 4
    status, output = start(*lite0(images, out)).end()
    assert status == 0 and f"continuing after step {stopped}" in output
    assert_as_undisturbed(folder_of(out), undisturbed)


def test_a_signal_before_the_first_batch(images, tmp_path, start):
    training = start(*lite0(images, tmp_path / "out"))
    training.until("training on the CPU|held out")
    training.process.send_signal(signal.SIGTERM)
    status, output = training.end()
    assert status == 0 and "stopped" in output, output


def test_a_complete_training_is_not_repeated(images, undisturbed, tmp_path, start):
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out / undisturbed.name)
    status, output = start(*lite0(images, out)).end()
    assert status == 0
    assert not re.search(STEP, output)


def test_other_settings_start_another_training(images, undisturbed, tmp_path, start):
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out / undisturbed.name)
    status, output = start(*lite0(images, out, train__lr=0.0001, train__epochs=1)).end()
    assert status == 0 and "step 1:" in output
    assert len([f for f in out.iterdir() if f.is_dir()]) == 2


def test_a_full_disk_is_named_and_keeps_the_last_checkpoint(images, undisturbed, tmp_path, start):
    out, kept = tmp_path / "out", tmp_path / "kept"
    out.mkdir()
    # The checkpoints of the first epoch fit, those of all layers with the optimizer's state do not.
    script = f'mount -t tmpfs -o size=48m tmpfs {out}; trap "cp -r {out} {kept}" EXIT'
    prefix = namespace(script)
    prefix[prefix.index("-ec") + 1] = f'{script}; "$@"'  # without exec, so that the trap runs
    status, output = start(*lite0(images, out), prefix=prefix).end()
    assert status == 1, output
    assert "no space left" in output and "last checkpoint" in output
    folder = folder_of(kept)
    state = torch.load(folder / "last.pt", weights_only=True)
    assert state["step"] >= 9 and not list(folder.glob("*.part"))
    shutil.copytree(kept, tmp_path / "more")  # the same on a disk with space
    status, output = start(*lite0(images, tmp_path / "more")).end()
    assert status == 0 and f"continuing after step {state['step']}" in output
    assert_as_undisturbed(folder_of(tmp_path / "more"), undisturbed)


def test_a_damaged_checkpoint_is_named(images, tmp_path, start):
    out = tmp_path / "out"
    assert start(*settings(images, out, train__epochs=1)).end()[0] == 0
    file = folder_of(out) / "last.pt"
    file.write_bytes(file.read_bytes()[:1000])
    status, output = start(*settings(images, out, train__epochs=1)).end()
    assert status == 1 and f"{file} is no checkpoint" in output and "Traceback" not in output


def test_training_ends_early_without_progress(images, tmp_path, start):
    arguments = settings(images, tmp_path / "out", train__epochs=50, train__head_epochs=0, train__lr=0, train__patience=2)
    status, output = start(*arguments).end()
    assert status == 0
    assert "ending early" in output and "epoch 3/50" in output and "epoch 4/50" not in output


def test_a_loss_that_is_not_finite_is_named(images, tmp_path, start):
    status, output = start(*settings(images, tmp_path / "out", model__name="networks:not_finite")).end()
    assert status == 1 and "the loss is" in output and "at step 1" in output
