import numpy
import onnxruntime
import pytest
import torch
from conftest import ROOT
from PIL import Image

from fovea_training import TrainingError, config, data, model


def test_the_published_weights_give_the_default_models_outputs():
    default = ROOT / "models" / "efficientnet-lite0" / "1" / "model.onnx"
    assert default.exists(), "run make setup first"
    network = model.EfficientNetLite0(1000, 224).eval()
    network.load_published(with_head=True)
    with Image.open(ROOT / "models" / "efficientnet-lite0" / "self_test.jpg") as image:
        pixels = numpy.asarray(data.as_served(image.convert("RGB"), 224, 256), numpy.float32).transpose(2, 0, 1)
    rows = numpy.stack([(pixels - 127) / 128, (pixels[:, ::-1] - 127) / 128])
    want = onnxruntime.InferenceSession(default, providers=["CPUExecutionProvider"]).run(None, {"image": rows})[0]
    with torch.inference_mode():
        got = network(torch.from_numpy(rows)).numpy()
    assert numpy.abs(got - want).max() < 1e-3
    labels = (ROOT / "models" / "efficientnet-lite0" / "labels.txt").read_text().splitlines()
    assert labels[got[0].argmax()] == "espresso"


@pytest.mark.parametrize("size", [32, 96, 100, 225])
def test_any_size_of_input(size):
    network = model.create(config.load(None, [f"data.size={size}", "model.weights=none"]), 7).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, size, size)).shape == (2, 7)


def test_all_layers_but_the_last_have_published_weights():
    a, b = (model.create(config.load(None, [f"train.seed={seed}"]), 3).state_dict() for seed in (1, 2))
    different = {name for name in a if not torch.equal(a[name], b[name])}
    assert different == {"head.weight", "head.bias"}


def test_a_network_of_the_users_own():
    assert type(model.create(config.load(None, ["model.name=networks:small", "data.size=32", "data.resize=32"]), 3)).__name__ == "Small"


@pytest.mark.parametrize(("name", "message"), [
    ("resnet", "neither efficientnet_lite0 nor package.module:function"),
    ("no_such_module:f", "No module named 'no_such_module'"),
    ("networks:absent", "absent"),
    ("networks:no_network", "returned a str, not a torch.nn.Module"),
])
def test_wrong_networks_are_named(name, message):
    with pytest.raises(TrainingError, match=message):
        model.create(config.load(None, [f"model.name={name}"]), 3)
