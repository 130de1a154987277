"""mosec with dynamic batching, as its documentation shows it: https://mosecorg.github.io/mosec/examples/pytorch.html. The
body of a request is the image. With PEER_STAGES=2 images are decoded in separate processes."""

import os

from mosec import Server, ValidationError, Worker
from vision import BATCH, WORKERS, Model

STAGES = int(os.environ.get("PEER_STAGES", "1"))
WAIT = int(os.environ.get("PEER_WAIT_MS", "1"))


class Image(Worker):
    """What both kinds of workers share: they read images and write JSON, mosec's default."""

    def __init__(self):
        self.model = Model()

    def deserialize(self, data):
        try:
            return self.model.prepare(data)
        except ValueError as error:
            raise ValidationError(str(error)) from error


class Prepare(Image):
    """The first of two stages. What it returns is pickled for the second."""

    def forward(self, data):
        return data


class Predict(Image):
    """The only stage, or the second of two."""

    def forward(self, data):
        tensors, fits = zip(*data)
        return [{"predictions": [self.model.answer(row, fit)]} for row, fit in zip(self.model.run(list(tensors)), fits)]


class Single(Image):
    """The only stage, without batches."""

    def forward(self, data):
        tensor, fit = data
        return {"predictions": [self.model.answer(self.model.run([tensor])[0], fit)]}


if __name__ == "__main__":
    server = Server()
    if STAGES == 2:
        server.append_worker(Prepare, num=WORKERS, timeout=30)
    if BATCH > 1:
        server.append_worker(Predict, num=WORKERS, max_batch_size=BATCH, max_wait_time=WAIT, timeout=30)
    else:
        server.append_worker(Single, num=WORKERS, timeout=30)
    server.run()
