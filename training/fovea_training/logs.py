"""What a training reports: lines or a progress bar, TensorBoard, and Weights & Biases."""

import os
import shutil
import sys
import time

from torch.utils.tensorboard import SummaryWriter

from . import config as configuration


def say(text):
    """Prints a line; above a progress bar on a terminal."""
    if sys.stdout.isatty():
        text = "\r\x1b[K" + text
    print(text, flush=True)


class Logs:
    """Points of a training are written with its step; those after the step that it continues from are replaced."""

    def __init__(self, config, folder, step):
        self.every, self.epochs = config.log.every, config.train.epochs
        self.writer = SummaryWriter(folder / "tensorboard", purge_step=step + 1)
        self.wandb = None
        self.since, self.images = time.monotonic(), 0
        if os.environ.get("WANDB_API_KEY"):
            import wandb  # only with a key: without one, nothing is sent anywhere

            self.wandb = wandb.init(project=config.log.wandb_project, name=folder.name, id=folder.name, resume="allow",
                                    dir=folder, config=configuration.record(config))

    def add(self, step, points):
        for name, value in points.items():
            self.writer.add_scalar(name, value, step)
        if self.wandb:
            self.wandb.log(points, step=step)

    def batch(self, epoch, batch, batches, step, loss, rate, images):
        """Reports a step; loss and rate are those of this step."""
        self.images += images
        due = step % self.every == 0
        if due:
            self.add(step, {"train/loss": loss, "train/learning_rate": rate})
        if not due and not sys.stdout.isatty():
            return
        speed = self.images / max(time.monotonic() - self.since, 1e-9)
        text = f"epoch {epoch + 1}/{self.epochs}, batch {batch}/{batches}, step {step}: loss {loss:.4f}, {speed:.0f} images/s"
        if sys.stdout.isatty():
            width = max(10, min(40, shutil.get_terminal_size().columns - len(text) - 4))
            done = width * batch // batches
            print(f"\r\x1b[K[{'=' * done}{' ' * (width - done)}] {text}", end="", flush=True)
        else:
            print(text, flush=True)
        if due:
            self.since, self.images = time.monotonic(), 0

    def flush(self):
        self.writer.flush()

    def close(self):
        self.writer.close()
        if self.wandb:
            self.wandb.finish()
