import re

import pytest

from fovea_training import TrainingError, config


def test_every_key_has_a_comment():
    for line in config.DEFAULT.read_text().splitlines():
        clear = re.match(r"  (seed|epochs|batch|weight_decay|label_smoothing|dropout|std): ", line)
        assert not re.match(r"  \S", line) or " # " in line or clear, line


def test_a_file_and_overrides_change_defaults(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("train: {lr: 1e-3, epochs: 7}\ndata: {mean: [1, 2, 3.5]}\n")
    c = config.load(file, ["train.epochs=9", "export.name=123", "augment.min_area=1", "export.repository="])
    assert (c.train.lr, c.train.epochs, c.data.mean, c.export.name, c.augment.min_area, c.export.repository) == (
        0.001, 9, [1, 2, 3.5], "123", 1.0, "")
    assert c.train.batch == config.load().train.batch == 32
    assert isinstance(c.augment.min_area, float)


@pytest.mark.parametrize(("override", "message"), [
    ("train.learning_rate=1", "train.learning_rate: unknown key"),
    ("train.epoch=1", "did you mean train.epochs?"),
    ("epochs=1", "epochs: unknown key"),
    ("train.epochs", "want section.key=value"),
    ("train.epochs=many", "train.epochs: 'many' is not a whole number"),
    ("train.epochs=0", "train.epochs: 0 is out of range (1 to 100000)"),
    ("train.epochs=2.5", "is not a whole number"),
    ("train.lr=fast", "train.lr: 'fast' is not a number"),
    ("train.lr=.nan", "train.lr: nan is out of range"),
    ("augment.flip=1", "augment.flip: 1 is not true or false"),
    ("data.broken=ignore", "data.broken: 'ignore' is not one of skip, refuse"),
    ("data.mean=127", "data.mean: 127 is not a list of one or three numbers"),
    ("data.std=[0]", "greater than 0"),
    ("data.std=[1,2]", "one or three"),
    ("data.size=300", "data.resize: 256 is less than data.size, 300"),
    ("export.name=../x", "export.name: '../x' is not a model name"),
    ("train.lr=[", "train.lr=["),
])
def test_what_is_wrong_is_named(override, message):
    with pytest.raises(TrainingError, match=re.escape(message)):
        config.load(None, [override])


def test_all_that_is_wrong_is_reported_together():
    with pytest.raises(TrainingError) as caught:
        config.load(None, ["train.lr=-1", "nothing.here=1", "train.seed=x"])
    assert len(str(caught.value).splitlines()) == 3


def test_a_file_that_is_no_configuration(tmp_path):
    file = tmp_path / "list.yaml"
    file.write_text("[1]")
    for wrong in (file, tmp_path / "absent.yaml"):
        with pytest.raises(TrainingError):
            config.load(wrong)


def test_the_exit_status_of_a_wrong_configuration_is_2(start):
    status, output = start("train.epoch=1").end()
    assert status == 2
    assert "did you mean train.epochs?" in output


def test_where_a_training_runs_does_not_make_it_another():
    base = config.record(config.load(), all_keys=False)
    same = ["data.dir=/x", "data.workers=7", "out.dir=/y", "log.every=3", "export.name=z", "train.device=cpu"]
    assert config.record(config.load(None, same), all_keys=False) == base
    assert config.record(config.load(None, ["train.threads=3"]), all_keys=False) != base
