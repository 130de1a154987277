"""FastAPI with uvicorn: one worker per core, each with its own session.

The handler is a plain `def`, which FastAPI runs in its thread pool. With PEER_ASYNC=1 it is `async def`, so that a
worker computes one image at a time; docs/benchmarks.md says how the two compare.
"""

import os

from fastapi import FastAPI, HTTPException, UploadFile
from vision import Model

app = FastAPI()
model = Model()


def answer(data):
    try:
        tensor, fit = model.prepare(data)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    return {"predictions": [model.answer(model.run([tensor])[0], fit)]}


if os.environ.get("PEER_ASYNC"):

    @app.post("/predict")
    async def predict(image: UploadFile):
        return answer(await image.read())

else:

    @app.post("/predict")
    def predict(image: UploadFile):
        return answer(image.file.read())
