"""Makes merges.json: boxes of tiles, and what sahi 0.12.8 merges them into.

    pip install sahi==0.12.8 opencv-python-headless && python make_merges.py

sahi is the library that Fovea's tiles are modeled on (https://github.com/obss/sahi). Positions and scores are multiples of powers of
two, so that they are the same in float32, with which sahi compares boxes.
"""

import json
import random
from pathlib import Path

from sahi.postprocess.combine import GreedyNMMPostprocess, NMMPostprocess, NMSPostprocess
from sahi.prediction import ObjectPrediction

SIZE = 1000
KINDS = {"greedy_nmm": GreedyNMMPostprocess, "nmm": NMMPostprocess, "nms": NMSPostprocess}


def boxes(rng, n, clusters):
    """Boxes around some centers, as tiles show the same object several times."""
    centers = [(rng.uniform(50, SIZE - 50), rng.uniform(50, SIZE - 50), rng.uniform(10, 120), rng.uniform(10, 120)) for _ in range(clusters)]
    out = []
    for _ in range(n):
        x, y, w, h = rng.choice(centers)
        spread = rng.choice([0.0, 0.05, 0.3, 0.8])
        left, top = x - w / 2 + rng.gauss(0, spread * w), y - h / 2 + rng.gauss(0, spread * h)
        right, bottom = left + w * rng.uniform(0.3, 1.2), top + h * rng.uniform(0.3, 1.2)
        box = [round(64 * min(max(v, 0), SIZE)) / 64 for v in (left, top, right, bottom)]
        if box[2] > box[0] and box[3] > box[1]:
            out.append([*box, rng.randint(1, 64) / 64, rng.randint(0, 2)])
    return out


def merged(case):
    predictions = [
        ObjectPrediction(bbox=box[:4], score=box[4], category_id=box[5], category_name=str(box[5]), full_shape=[SIZE, SIZE]) for box in case["boxes"]
    ]
    if len(predictions) > 1:  # as get_sliced_prediction does
        predictions = KINDS[case["merge"]](match_threshold=case["threshold"], match_metric=case["metric"].upper(), class_agnostic=case["agnostic"])(predictions)
    return [[*p.bbox.to_xyxy(), p.score.value, p.category.id] for p in predictions]


def main():
    rng = random.Random(1)
    cases = []
    for merge in KINDS:
        for metric in ("ios", "iou"):
            for agnostic in (False, True):
                for n, clusters in ((0, 1), (1, 1), (2, 1), (12, 2), (60, 6), (150, 12)):
                    case = {"merge": merge, "metric": metric, "agnostic": agnostic, "threshold": rng.choice([0.125, 0.3, 0.5, 0.7, 1.0]), "boxes": boxes(rng, n, clusters)}
                    cases.append(case | {"merged": merged(case)})
    Path(__file__).with_name("merges.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
