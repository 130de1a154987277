"""LitServe with batching, as its documentation shows it: https://lightning.ai/docs/litserve/features/batching."""

import os

import litserve
from vision import BATCH, WORKERS, Model


class ImageAPI(litserve.LitAPI):
    def setup(self, device):
        self.model = Model()

    def decode_request(self, request):
        return self.model.prepare(request["image"].file.read())

    def batch(self, inputs):
        return list(zip(*inputs))

    def predict(self, batch):
        tensors, fits = batch
        return list(zip(self.model.run(tensors), fits))

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return {"predictions": [self.model.answer(*output)]}


if __name__ == "__main__":
    api = ImageAPI(max_batch_size=BATCH, batch_timeout=float(os.environ.get("PEER_WAIT", "0.001")))
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=WORKERS)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PEER_PORT"]),
        num_api_servers=int(os.environ.get("PEER_API_SERVERS", WORKERS)),
        generate_client_file=False,
        log_level="warning",
    )
