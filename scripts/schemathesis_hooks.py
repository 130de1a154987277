"""What schemathesis cannot make by itself: real pictures, wherever the document wants one.

FOVEA_PICTURES is the folder of pictures to take. Python's base64 is independent of Go's.
"""

import base64
import os
import pathlib

import schemathesis
from hypothesis import strategies as st

pictures = [path.read_bytes() for path in sorted(pathlib.Path(os.environ["FOVEA_PICTURES"]).glob("*.jpg"))]
assert pictures, "no pictures in FOVEA_PICTURES"
picture = st.sampled_from(pictures)

# Any type of picture holds any format: the server goes by the bytes.
for media_type in ("image/jpeg", "image/png", "image/webp", "image/bmp", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, picture)
schemathesis.openapi.format("picture-base64", picture.map(lambda p: base64.b64encode(p).decode()))
schemathesis.openapi.format("binary", picture)


@schemathesis.hook
def filter_case(context, case):
    """Leaves out what fits the document but not the model: the server's one model classifies, and a parameter of
    detection is refused there. Cases that should be refused anyway stay."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return True
    body = case.body if isinstance(case.body, dict) else {}
    given = set(case.query or {}) | set(body) | set(body.get("parameters") or {})
    return not given & {"score_threshold", "iou_threshold"}
