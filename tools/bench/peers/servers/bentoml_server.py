"""BentoML with adaptive batching, as its documentation shows it:
https://docs.bentoml.com/en/latest/get-started/adaptive-batching.html."""

from pathlib import Path

import bentoml
from vision import BATCH, WORKERS, Model


@bentoml.service(name="images", workers=WORKERS)
class Images:
    def __init__(self) -> None:
        self.model = Model()

    def answer(self, paths: list[Path]) -> list[dict]:
        tensors, fits = zip(*(self.model.prepare(path.read_bytes()) for path in paths))
        return [self.model.answer(row, fit) for row, fit in zip(self.model.run(list(tensors)), fits)]

    @bentoml.api(route="/predict", batchable=True, max_batch_size=BATCH)
    def predict(self, image: list[Path]) -> list[dict]:
        return self.answer(image)

    @bentoml.api(route="/raw")  # a body that is the only parameter cannot be batched
    def raw(self, image: Path, /) -> list[dict]:
        return self.answer([image])
