"""The training: a loop whose every step depends on the configuration, the images and the checkpoint alone, so that it goes the
same way whether it was interrupted or not."""

import hashlib
import json
import math
import pathlib

import torch
from torch.nn import functional

from . import TrainingError, alive, checkpoint, data, device, logs, model
from . import config as configuration
from .stop import Stopped


class Training:
    """A training in its folder."""

    def __init__(self, config, stop):
        self.config, self.stop = config, stop
        if config.train.threads:
            torch.set_num_threads(config.train.threads)
        self.images = data.find(config)
        for name, why in sorted(self.images.broken.items()):
            logs.say(f"skipped: {name}: {why}")
        settings = json.dumps([configuration.record(config, all_keys=False), self.images.digest()], sort_keys=True)
        self.folder = pathlib.Path(config.out.dir) / f"{config.export.name}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"
        self.device = device.choose(config.train.device, logs.say)
        self.model = model.create(config, len(self.images.classes)).to(self.device)
        self.head = getattr(self.model, "head", None) if config.train.head_epochs else None
        head = list(self.head.parameters()) if self.head else []
        body = [p for p in self.model.parameters() if all(p is not h for h in head)]
        self.optimizer = torch.optim.AdamW([{"params": group} for group in (head, body) if group], weight_decay=config.train.weight_decay)
        self.epoch = self.batch = self.step = self.stale = 0
        self.best, self.done = -1.0, False
        self.mean, self.std = (torch.tensor(v, dtype=torch.float32, device=self.device).view(1, -1, 1, 1)
                               for v in (config.data.mean, config.data.std))

    # ---- checkpoints ----

    def save(self):
        self.logs.flush()  # what a checkpoint has behind it is logged
        checkpoint.save(self.folder / "last.pt", {
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "epoch": self.epoch, "batch": self.batch,
            "step": self.step, "stale": self.stale, "best": self.best, "done": self.done})
        alive.beat()

    def restore(self):
        """Continues from the last checkpoint, if there is one."""
        state = checkpoint.load(self.folder / "last.pt")
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name in ("epoch", "batch", "step", "stale", "best", "done"):
            setattr(self, name, state[name])

    # ---- the loop ----

    def run(self):
        """Trains to the end, or raises Stopped after a checkpoint."""
        self.restore()
        self.folder.mkdir(parents=True, exist_ok=True)
        train, held_out = len(self.images.train), len(self.images.held_out)
        logs.say(f"{train} images of {len(self.images.classes)} classes to train with, {held_out} held out, in {self.folder}"
                 + (f"; continuing after step {self.step}" if self.step else ""))
        self.logs = logs.Logs(self.config, self.folder, self.step)
        self.stop.deferred = True
        try:
            while not self.done:
                self.train_epoch()
                self.end_epoch()
        finally:
            self.stop.deferred = False
            self.logs.close()

    def check_stop(self):
        if self.stop.asked:
            self.save()
            raise Stopped(f"stopped after step {self.step}; {self.folder / 'last.pt'} has everything up to it")

    def prepare_phase(self):
        """Trains the head alone in the first epochs, then everything."""
        only_head = self.head is not None and self.epoch < self.config.train.head_epochs
        self.model.requires_grad_(not only_head).train(not only_head)
        if only_head:
            self.head.requires_grad_(True).train()
        return only_head

    def rate(self, only_head, batches):
        """Returns the learning rate of the next step: a cosine from the phase's rate to 0."""
        settings = self.config.train
        first = min(settings.head_epochs, settings.epochs) if self.head is not None else 0
        begin, end, highest = (0, first, settings.head_lr) if only_head else (first, settings.epochs, settings.lr)
        passed = (self.epoch - begin) * batches + self.batch
        return highest * 0.5 * (1 + math.cos(math.pi * passed / ((end - begin) * batches)))

    def train_epoch(self):
        config, only_head = self.config, self.prepare_phase()
        batches = data.order(len(self.images.train), config, self.epoch)
        images = data.Dataset(self.images.train, config, self.epoch)
        rest = batches[self.batch:]
        for pixels, labels in data.loader(images, rest, config) if rest else ():
            rate = self.rate(only_head, len(batches))
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            torch.manual_seed(config.train.seed * 1_000_003 + self.step)  # of what is random in the network
            loss = functional.cross_entropy(self.forward(pixels), labels.to(self.device), label_smoothing=config.train.label_smoothing)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            loss = loss.item()
            if not math.isfinite(loss):
                raise TrainingError(f"the loss is {loss} at step {self.step + 1}: lower train.lr or train.head_lr")
            self.batch, self.step = self.batch + 1, self.step + 1
            alive.beat()
            self.logs.batch(self.epoch, self.batch, len(batches), self.step, loss, rate, len(labels))
            self.check_stop()
            if self.step % config.out.save_every == 0:
                self.save()

    def forward(self, pixels):
        """uint8 [N, 3, size, size] to logits."""
        pixels = pixels.to(self.device, non_blocking=True)
        return self.model((pixels.float() - self.mean) / self.std)

    @torch.inference_mode()
    def evaluate(self):
        """Returns the loss and the accuracy on the held-out images."""
        self.model.eval()
        held_out = self.images.held_out
        loss = correct = 0.0
        for pixels, labels in data.loader(data.Dataset(held_out, self.config), data.in_order(len(held_out), self.config), self.config):
            logits, labels = self.forward(pixels), labels.to(self.device)
            loss += functional.cross_entropy(logits, labels, reduction="sum").item()
            correct += (logits.argmax(1) == labels).sum().item()
            alive.beat()
            self.check_stop()
        return loss / len(held_out), correct / len(held_out)

    def end_epoch(self):
        loss, accuracy = self.evaluate()
        self.logs.add(self.step, {"held_out/loss": loss, "held_out/accuracy": accuracy, "epoch": self.epoch + 1})
        better = accuracy > self.best
        self.best, self.stale = (accuracy, 0) if better else (self.best, self.stale + 1)
        if better:
            checkpoint.save(self.folder / "best.pt", {"model": self.model.state_dict(), "epoch": self.epoch + 1, "step": self.step})
        self.epoch, self.batch = self.epoch + 1, 0
        logs.say(f"epoch {self.epoch}/{self.config.train.epochs}: held-out accuracy {accuracy:.4f}, loss {loss:.4f}"
                 + (", the best so far" if better else ""))
        patience = self.config.train.patience
        self.done = self.epoch >= self.config.train.epochs
        if patience and self.stale >= patience and not self.done:
            logs.say(f"no better held-out accuracy for {self.stale} epochs (train.patience): ending early")
            self.done = True
        self.save()
