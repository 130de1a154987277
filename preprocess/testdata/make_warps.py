"""Makes warps.json: crops of one small image by OpenCV and insightface's template, with the matrices that they are made with.

    pip install numpy==2.4.6 opencv-python-headless==5.0.0.93 scikit-image==0.26.0
    python make_warps.py

The image and the crops are three bytes a pixel, blue, green and red, rows from the top. The steps are those of get_rotate_crop_image in
PaddleOCR's tools/infer/utility.py, and of norm_crop in insightface's python-package/insightface/utils/face_align.py.
"""

import base64
import json
from pathlib import Path

import cv2
import numpy as np
from skimage.transform import SimilarityTransform

TEMPLATE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], dtype=np.float32)

QUADS = {
    "an upright line": [[10, 12], [70, 12], [70, 30], [10, 30]],
    "a turned line": [[20, 10], [85, 34], [78, 52], [13, 28]],
    "in perspective": [[15, 8], [80, 14], [74, 60], [22, 50]],
    "taller than wide": [[30, 5], [48, 8], [44, 66], [26, 63]],
    "beyond the image": [[-12, 40], [60, 30], [64, 88], [-8, 80]],
    "between pixels": [[12.5, 20.25], [66.75, 18.5], [67.25, 39.5], [11.75, 44.0]],
}

FACES = {
    "an upright face": [[30, 25], [55, 26], [43, 38], [33, 50], [53, 51]],
    "a turned face": [[40, 20], [60, 38], [42, 42], [26, 44], [42, 60]],
    "a face upside down": [[60, 50], [36, 49], [48, 36], [57, 24], [38, 25]],
    "a face at the edge": [[2, 8], [16, 6], [8, 16], [4, 24], [15, 22]],
    "a mirrored face": [[55, 26], [30, 25], [43, 38], [53, 51], [33, 50]],
}


def source(width=96, height=72):
    random = np.random.default_rng(5)
    coarse = random.integers(0, 256, (height // 8, width // 8, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def text(pixels):
    return base64.b64encode(np.ascontiguousarray(pixels).tobytes()).decode()


def quad(image, corners):
    points = np.array(corners, dtype=np.float32)
    width = int(max(np.linalg.norm(points[0] - points[1]), np.linalg.norm(points[2] - points[3])))
    height = int(max(np.linalg.norm(points[0] - points[3]), np.linalg.norm(points[1] - points[2])))
    matrix = cv2.getPerspectiveTransform(points, np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32))
    crop = cv2.warpPerspective(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_CUBIC)
    turned = height / width >= 1.5
    if turned:
        crop = np.rot90(crop)
    return {"corners": corners, "matrix": matrix.ravel().tolist(), "turned": bool(turned), "width": crop.shape[1], "height": crop.shape[0], "pixels": text(crop)}


def face(image, points, side):
    transform = SimilarityTransform.from_estimate(np.array(points, dtype=np.float64), TEMPLATE * (side / 112))
    crop = cv2.warpAffine(image, transform.params[0:2, :], (side, side), borderValue=0.0)
    return {"points": points, "matrix": transform.params.ravel().tolist(), "width": side, "height": side, "pixels": text(crop)}


def main():
    image = source()
    cases = {"width": image.shape[1], "height": image.shape[0], "pixels": text(image),
             "quads": {name: quad(image, corners) for name, corners in QUADS.items()},
             "faces": {name: face(image, points, side) for side, (name, points) in zip([112, 56, 56, 56, 56], FACES.items())}}
    path = Path(__file__).parent / "warps.json"
    path.write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
