"""Files that are whole or absent, and the checkpoints in them."""

import io
import os

import torch

from . import TrainingError

FORMAT = 1


def write(path, data):
    """Replaces a file by bytes: after a crash or on a full disk the old file is there as it was."""
    os.makedirs(path.parent, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder):
    """Makes renames in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save(path, state):
    """Writes a checkpoint: tensors and plain Python values only, so that load need not trust the file."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    write(path, buffer.getbuffer())


def load(path):
    """Reads a checkpoint onto the CPU."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception as error:  # torch.load raises errors of many kinds
        raise TrainingError(f"{path} is no checkpoint: {error}") from None
    if state.get("format") != FORMAT:
        raise TrainingError(f"{path} has format {state.get('format')}; this version reads {FORMAT}")
    return state
