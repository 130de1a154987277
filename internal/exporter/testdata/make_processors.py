"""Prints the defaults of transformers' image processors as JSON, for processors.json: one file for each version that is installed.

    pip install transformers==4.49.0 pillow && python make_processors.py Beit Bit ViT > 4.json
"""
import json
import sys

import transformers


def processor(name):
    for suffix in ("ImageProcessorPil", "ImageProcessor"):
        try:
            return getattr(transformers, name + suffix)()
        except (AttributeError, ImportError):
            pass
    try:
        module = __import__(f"transformers.models.deprecated.{name.lower()}", fromlist=["x"])
        return getattr(module, name + "ImageProcessor")()
    except (AttributeError, ImportError):
        return None


def plain(value):
    if value is None:
        return None
    items = value.items() if hasattr(value, "items") else vars(value).items()
    return {key: number for key, number in items if number}


defaults = {}
for name in sys.argv[1:]:
    p = processor(name)
    if p is None:
        continue
    defaults[name] = {
        "size": plain(getattr(p, "size", None)) or {},
        "crop_size": plain(getattr(p, "crop_size", None)),
        "do_center_crop": bool(getattr(p, "do_center_crop", False)),
        "resample": int(p.resample),
        "do_normalize": bool(getattr(p, "do_normalize", False)),
        "image_mean": list(getattr(p, "image_mean", None) or []),
        "image_std": list(getattr(p, "image_std", None) or []),
        "crop_pct": getattr(p, "crop_pct", None),
        "do_flip_channel_order": bool(getattr(p, "do_flip_channel_order", False)),
        "include_top": bool(getattr(p, "include_top", False)),
    }
json.dump({transformers.__version__: defaults}, sys.stdout, indent=1, sort_keys=True)
