"""The configuration: configs/default.yaml, which has every key, and what changes it."""

import contextlib
import difflib
import pathlib
import re
import types

import yaml

from . import TrainingError

DEFAULT = pathlib.Path(__file__).parent.parent / "configs" / "default.yaml"
CHOICES = {
    "data.broken": ("skip", "refuse"), "model.weights": ("imagenet", "none"), "train.device": ("auto", "cpu", "cuda"),
}
RANGES = {
    "data.held_out": (0.01, 0.9), "data.size": (32, 1024), "data.resize": (32, 2048), "data.workers": (0, 256),
    "augment.min_area": (0.01, 1), "train.epochs": (1, 100000), "train.head_epochs": (0, 100000), "train.batch": (1, 4096),
    "train.seed": (0, 2**31), "train.head_lr": (0, 10), "train.lr": (0, 10), "train.weight_decay": (0, 1),
    "train.label_smoothing": (0, 0.9), "train.dropout": (0, 0.9), "train.patience": (0, 100000), "train.threads": (0, 1024),
    "out.save_every": (1, 10**9), "log.every": (1, 10**9),
}
KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
# Keys that change where a training runs and what it reports, but not its result.
NEUTRAL = {"data.dir", "data.held_out_dir", "data.workers", "train.device"}


def flat(tree):
    """Returns {"section.key": value} of a YAML document; a section that is no mapping stands for itself."""
    if not isinstance(tree, dict):
        raise TrainingError("the configuration is not a mapping of sections")
    keys = {}
    for section, values in tree.items():
        if isinstance(values, dict):
            keys.update({f"{section}.{key}": value for key, value in values.items()})
        else:
            keys[str(section)] = values
    return keys


def parse(text, source):
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TrainingError(f"{source}: {error}") from None


def problem(key, value, default):
    """Returns what is wrong with a value, or None."""
    if key in ("data.mean", "data.std"):
        numbers = isinstance(value, list) and all(type(v) in (int, float) for v in value)
        if not numbers or len(value) not in (1, 3) or (key == "data.std" and min(value) <= 0):
            return f"{key}: {value} is not a list of one or three numbers" + ", greater than 0" * (key == "data.std")
    elif type(value) is not type(default):
        return f"{key}: {value!r} is not {KINDS[type(default)]}; the default is {default!r}"
    if key in CHOICES and value not in CHOICES[key]:
        return f"{key}: {value!r} is not one of {', '.join(CHOICES[key])}"
    low, high = RANGES.get(key, (None, None))
    if low is not None and not low <= value <= high:
        return f"{key}: {value} is out of range ({low} to {high})"
    return None


def load(file=None, overrides=()):
    """Returns the configuration as sections with attributes. All that is wrong is reported together, each with its key."""
    defaults = flat(parse(DEFAULT.read_text(), DEFAULT))
    changes, problems = {}, []
    if file:
        try:
            changes = flat(parse(pathlib.Path(file).read_text(), file) or {})
        except OSError as error:
            raise TrainingError(f"--config: {error}") from None
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            problems.append(f"{text}: want section.key=value")
            continue
        changes[key] = value if isinstance(defaults.get(key), str) else parse(value, text)
    for key, value in changes.items():
        if key not in defaults:
            near = difflib.get_close_matches(key, defaults, n=1)
            problems.append(f"{key}: unknown key" + (f"; did you mean {near[0]}?" if near else f"; {DEFAULT} has all keys"))
            continue
        if isinstance(defaults[key], float) and type(value) in (int, str):  # YAML reads 1e-3 as text
            with contextlib.suppress(ValueError):
                value = float(value)
        wrong = problem(key, value, defaults[key])
        if wrong:
            problems.append(wrong)
        defaults[key] = value
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", str(defaults["export.name"])):
        problems.append(f"export.name: {defaults['export.name']!r} is not a model name: letters, digits and . _ -, a letter or digit first")
    if not problems and defaults["data.resize"] < defaults["data.size"]:
        problems.append(f"data.resize: {defaults['data.resize']} is less than data.size, {defaults['data.size']}")
    if problems:
        raise TrainingError("\n".join(problems))
    config = types.SimpleNamespace()
    for key, value in defaults.items():
        section, _, name = key.partition(".")
        if not hasattr(config, section):
            setattr(config, section, types.SimpleNamespace())
        setattr(getattr(config, section), name, value)
    return config


def record(config, all_keys=True):
    """Returns {"section.key": value}, for records; without all_keys only what determines the result of a training."""
    keys = flat({section: vars(values) for section, values in vars(config).items()})
    if all_keys:
        return keys
    return {k: v for k, v in keys.items() if k not in NEUTRAL and k.split(".")[0] not in ("out", "log", "export")}
