"""What a training reports, and to whom."""

import os
import pty
import re

from conftest import HERE, folder_of, settings
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

KEY = "0123456789abcdef0123456789abcdef01234567"


def test_tensorboard_and_plain_lines(images, tmp_path, start):
    status, output = start(*settings(images, tmp_path / "out", log__every=3)).end()
    assert status == 0
    steps = [int(n) for n in re.findall(r"^epoch \d/2, batch \d+/10, step (\d+): loss \d\.\d{4}, \d+ images/s$", output, re.M)]
    assert steps == [3, 6, 9, 12, 15, 18]
    assert "\r" not in output
    events = EventAccumulator(str(folder_of(tmp_path / "out") / "tensorboard")).Reload()
    assert [e.step for e in events.Scalars("train/loss")] == steps
    assert [e.step for e in events.Scalars("held_out/accuracy")] == [10, 20]
    assert all(0 <= e.value <= 1 for e in events.Scalars("held_out/accuracy"))
    rates = [e.value for e in events.Scalars("train/learning_rate")]
    assert rates[:3] == sorted(rates[:3], reverse=True) and rates[3:] == sorted(rates[3:], reverse=True)


def test_a_progress_bar_on_a_terminal(images, tmp_path, start):
    ours, theirs = pty.openpty()
    training = start(*settings(images, tmp_path / "out", log__every=1000), terminal=theirs)
    os.close(theirs)
    output = b""
    while True:
        try:
            output += os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
    training.watch.cancel()
    assert training.process.wait(60) == 0
    assert re.search(rb"\r\x1b\[K\[=+ *\] epoch 1/2, batch 5/10, step 5:", output)


FAKE = "import os, pathlib\npathlib.Path(os.environ['MARK']).touch()\nraise SystemExit('wandb was imported')\n"


def test_weights_and_biases_is_not_even_imported_without_a_key(images, tmp_path, start):
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "wandb.py").write_text(FAKE)
    path = f"{tmp_path / 'fake'}:{HERE.parent}:{HERE}"
    mark = tmp_path / "imported"
    status, _ = start(*settings(images, tmp_path / "one", train__epochs=1), PYTHONPATH=path, MARK=mark).end()
    assert status == 0 and not mark.exists()
    status, _ = start(*settings(images, tmp_path / "two", train__epochs=1), PYTHONPATH=path, MARK=mark, WANDB_API_KEY=KEY).end()
    assert status != 0 and mark.exists()


def test_weights_and_biases_with_a_key_that_is_nowhere_written(images, tmp_path, start):
    out = tmp_path / "out"
    arguments = settings(images, out, train__epochs=1, log__wandb_project="clothes")
    status, output = start(*arguments, WANDB_API_KEY=KEY, WANDB_MODE="offline").end()
    assert status == 0, output
    runs = list(folder_of(out).glob("wandb/offline-run-*/*.wandb"))
    assert len(runs) == 1 and runs[0].stat().st_size > 0
    assert KEY not in output
    for base, _, files in os.walk(tmp_path):
        for file in files:
            with open(os.path.join(base, file), "rb") as f:
                assert KEY.encode() not in f.read(), file
