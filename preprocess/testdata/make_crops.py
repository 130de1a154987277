"""Makes crops.json: the pixels that preprocessing of transformers, timm and torchvision makes of parts of one small image.

    pip install numpy==2.4.6 pillow==13.0.0 torch==2.15.0 torchvision==0.29.2 transformers==5.24.0 timm==1.0.31
    python make_crops.py

A case has a kind, the part of the image at the top left, the size of the result and its pixels: three bytes, rows from the top.
TestCropsEqualLibraries says how model.yaml describes each kind.
"""

import base64
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timm.data.transforms_factory import transforms_imagenet_eval
from torchvision import transforms
from transformers.models.clip.image_processing_clip import CLIPImageProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.deit.image_processing_deit import DeiTImageProcessor
from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil

PARTS = [(61, 43), (43, 70), (90, 20), (24, 24)]
PLAIN = dict(do_rescale=False, do_normalize=False, return_tensors="np")


def source(width=96, height=72):
    random = np.random.default_rng(2)
    pixels = random.integers(0, 256, (height, width, 3))
    ends = random.integers(0, 6, (height, width, 3))
    pixels = np.where(ends == 0, 0, np.where(ends == 1, 255, pixels))
    pixels[:, 40:60] = np.arange(20)[None, :, None] * [12, 7, 13]
    return pixels.astype(np.uint8)


def processor(kind, **settings):
    made = kind(**settings)
    return lambda image: np.asarray(made(image, **PLAIN)["pixel_values"][0]).transpose(1, 2, 0)


def timm(size, **settings):
    made = transforms_imagenet_eval(size, mean=(0.25, 0.5, 0.75), normalize=False, **settings)
    return lambda image: made(image).permute(1, 2, 0).numpy()


def torchvision(*steps):
    made = transforms.Compose([*steps, transforms.PILToTensor()])
    return lambda image: made(image).permute(1, 2, 0).numpy()


def size(height, width):
    return {"height": height, "width": width}


KINDS = {
    "deit_pil": processor(DeiTImageProcessorPil, size=size(31, 34), crop_size=size(24, 25), resample=3),
    "deit_torch": processor(DeiTImageProcessor, size=size(31, 34), crop_size=size(24, 25), resample=3),
    "deit_pil_padded": processor(DeiTImageProcessorPil, size=size(19, 34), crop_size=size(24, 25), resample=2),
    "deit_torch_padded": processor(DeiTImageProcessor, size=size(19, 34), crop_size=size(24, 25), resample=2),
    "clip_pil": processor(CLIPImageProcessorPil, size={"shortest_edge": 27}, crop_size=size(24, 22), resample=3),
    "clip_torch": processor(CLIPImageProcessor, size={"shortest_edge": 27}, crop_size=size(24, 22), resample=1),
    "clip_pil_padded": processor(CLIPImageProcessorPil, size={"shortest_edge": 19}, crop_size=size(24, 28), resample=3),
    "clip_torch_padded": processor(CLIPImageProcessor, size={"shortest_edge": 19}, crop_size=size(24, 28), resample=2),
    "torchvision": torchvision(transforms.Resize(29), transforms.CenterCrop((22, 24))),
    "torchvision_stretch": torchvision(transforms.Resize((31, 29)), transforms.CenterCrop((22, 24))),
    "timm_center": timm((24, 24), crop_pct=0.9, interpolation="bicubic"),
    "timm_rect": timm((16, 40), crop_pct=0.85, interpolation="bicubic"),
    "timm_squash": timm((16, 40), crop_pct=0.9, crop_mode="squash", interpolation="bilinear"),
    "timm_border": timm((24, 24), crop_pct=0.8, crop_mode="border", interpolation="bicubic"),
    "timm_border_whole": timm((20, 28), crop_pct=1.0, crop_mode="border", interpolation="bicubic"),
}


def encoded(pixels):
    return base64.b64encode(np.ascontiguousarray(pixels, np.uint8).tobytes()).decode()


def main():
    torch.set_num_threads(1)
    image = source()
    cases = []
    for width, height in PARTS:
        part = Image.fromarray(np.ascontiguousarray(image[:height, :width]))
        for kind, make in KINDS.items():
            pixels = make(part)
            cases.append(dict(kind=kind, part=[width, height], size=[pixels.shape[1], pixels.shape[0]], result=encoded(pixels)))
    lines = ",\n".join(json.dumps(case) for case in cases)
    text = f'{{"width": {image.shape[1]}, "height": {image.shape[0]}, "image": "{encoded(image)}",\n"cases": [\n{lines}\n]}}\n'
    (Path(__file__).parent / "crops.json").write_text(text)


if __name__ == "__main__":
    main()
