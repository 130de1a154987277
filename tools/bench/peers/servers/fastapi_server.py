"""FastAPI with uvicorn: one worker per core, each with its own session.

The handlers compute in FastAPI's thread pool. With PEER_ASYNC=1 they compute in the event loop, so that a worker answers one
image at a time; docs/benchmarks.md says how the two compare.
"""

import os

from fastapi import FastAPI, HTTPException, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
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

    @app.post("/raw")
    async def predict_raw(request: Request):
        return answer(await request.body())

else:

    @app.post("/predict")
    def predict(image: UploadFile):
        return answer(image.file.read())

    @app.post("/raw")
    async def predict_raw(request: Request):
        return await run_in_threadpool(answer, await request.body())
