"""The heartbeat: a file that is touched by progress, so that a training that hangs is noticed."""

import os
import pathlib
import time

FILE = pathlib.Path(os.environ.get("TRAIN_ALIVE", "/tmp/training_alive"))
LIMIT = 300  # seconds without progress


def beat():
    """Records progress."""
    FILE.touch()


def check():
    """Returns the exit status of a health check: 0 if there was progress within LIMIT seconds."""
    try:
        age = time.time() - FILE.stat().st_mtime
    except FileNotFoundError:
        print(f"no training has begun: {FILE} does not exist")
        return 1
    print(f"the last progress was {age:.0f} s ago; at most {LIMIT} s are allowed")
    return int(age > LIMIT)
