"""What schemathesis cannot make by itself: real images, wherever the document wants one.

FOVEA_IMAGES is the folder of images to take. Python's base64 is independent of Go's.
"""

import base64
import os
import pathlib
import urllib.parse

import schemathesis
from hypothesis import strategies as st

# net/http responds by itself to headers of 64 KiB and more, with 431 and plain text.
LONGEST_QUERY = 48 << 10

images = [path.read_bytes() for path in sorted(pathlib.Path(os.environ["FOVEA_IMAGES"]).glob("*.jpg"))]
assert images, "no images in FOVEA_IMAGES"
image = st.sampled_from(images)

# Any image type may hold any format: the server goes by the bytes.
for media_type in ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/gif", "image/tiff", "image/avif", "image/heic", "image/heif", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, image)
schemathesis.openapi.format("image-base64", image.map(lambda p: base64.b64encode(p).decode()))
schemathesis.openapi.format("binary", image)
schemathesis.openapi.format("image-url", st.just("https://images.example.com/a.jpg"))


@schemathesis.hook
def filter_case(context, case):
    """Leaves out what fits the document but not the model: the server's one model classifies, and parameters of
    other tasks are refused there. Cases that should be refused anyway stay, except queries that no handler gets."""
    if len(urllib.parse.urlencode(case.query or {}, doseq=True)) > LONGEST_QUERY:
        return False
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return True
    body = case.body if isinstance(case.body, dict) else {}
    given = set(case.query or {}) | set(body) | set(body.get("parameters") or {})
    if "annotate" in given and max(len(body.get(name) or []) for name in ("image", "images")) > 1:
        return False  # the response is an image
    if any(isinstance(image, dict) and "url" in image for image in body.get("images") or []):
        return False  # images by URL are off
    return not given & {"score_threshold", "iou_threshold", "classes", "max_boxes", "encoding", "url", "tile", "overlap", "merge", "merge_metric", "merge_threshold", "whole_image"}
