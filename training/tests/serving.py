"""A trained model, and the server that it is given to."""

import os
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import onnx
import torch
from conftest import DEADLINE, ROOT, Process, folder_of, settings

from fovea_training import model

SERVE = os.environ.get("FOVEA_TEST_SERVE", str(ROOT / "bin" / "serve"))


class Trained:
    """A training of EfficientNet-Lite0, first the head and then everything, on ten classes, exported as the model clothes."""

    def __init__(self, base, clothes):
        self.images, self.out, self.repository = base / "images", base / "runs", base / "models"
        clothes(self.images, 50)
        self.arguments = settings(self.images, self.out, model__name="efficientnet_lite0", data__size=96, data__resize=110, data__workers=2,
                                  data__held_out=0.5, train__batch=32, train__epochs=4, train__head_epochs=3, log__every=1,
                                  export__repository=self.repository,
                                  export__name="clothes", export__held_out=base / "held-out")
        self.held_out, self.alive = base / "held-out", base / "alive"
        self.output = self.run()

    def run(self, command="train", *more):
        status, output = Process(command, *self.arguments, *more, TRAIN_ALIVE=self.alive, TRAIN_REVISION="1234abcd").end()
        assert status == 0, output
        return output

    def version(self, number):
        return self.repository / "clothes" / str(number)

    def network(self):
        """Returns the network that was exported."""
        network = model.EfficientNetLite0(10, 96).eval()
        network.load_state_dict(torch.load(folder_of(self.out) / "best.pt", weights_only=True)["model"])
        return network

    def metadata(self, number=1):
        return {p.key: p.value for p in onnx.load(self.version(number) / "model.onnx").metadata_props}


def serve(*arguments):
    return subprocess.run([SERVE, *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE, check=False)


class Server:
    def __init__(self, repository, *arguments):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{s.getsockname()[1]}"
        self.process = subprocess.Popen([SERVE, "--http.address", self.url[7:], "--repository.dir", repository,
                                         "--repository.poll", "500ms", *arguments], stderr=subprocess.PIPE, text=True)
        self.log = []
        threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True).start()
        self.wait(lambda: self.get("/ready")[0] == 200)

    def get(self, path, data=None):
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "image/png"} if data else {})
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError as error:
            return 0, str(error).encode()

    def wait(self, holds):
        end = time.monotonic() + 60
        while not holds():
            assert self.process.poll() is None and time.monotonic() < end, "".join(self.log)
            time.sleep(0.1)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(60) == 0
