"""Writes text.json: what RapidOCR's and PaddleOCR's own code makes of maps of probabilities and of sequences of scores.

Needs rapidocr_onnxruntime 1.4.4 (Apache-2.0), whose DBPostProcess, filter_tag_det_res, sorted_boxes and CTCLabelDecode are those of
PaddleOCR, and numpy. Maps are bytes (probability * 255) in zlib and base64."""
import base64, json, math, zlib
import numpy as np
from rapidocr_onnxruntime.ch_ppocr_det.text_detect import TextDetector
from rapidocr_onnxruntime.ch_ppocr_det.utils import DBPostProcess, DetPreProcess
from rapidocr_onnxruntime.ch_ppocr_rec.utils import CTCLabelDecode
from rapidocr_onnxruntime.main import RapidOCR

random = np.random.default_rng(19)


def stroke(m, cx, cy, length, height, degrees, peak=0.95):
    """A rotated rectangle with soft borders."""
    h, w = m.shape
    y, x = np.mgrid[0:h, 0:w]
    a = math.radians(degrees)
    u = (x-cx)*math.cos(a) + (y-cy)*math.sin(a)
    v = -(x-cx)*math.sin(a) + (y-cy)*math.cos(a)
    edge = np.minimum(length/2-np.abs(u), height/2-np.abs(v))
    np.maximum(m, peak/(1+np.exp(-edge*1.7)), out=m)


def maps():
    m = np.zeros((96, 160))
    stroke(m, 40, 12, 60, 7, 0); stroke(m, 120, 13, 50, 7, 0); stroke(m, 60, 34, 100, 8, 0); stroke(m, 80, 60, 120, 9, 0); stroke(m, 30, 85, 40, 3.2, 0)
    yield 'upright', m, (320, 192), {}
    m = np.zeros((160, 160))
    stroke(m, 80, 30, 110, 9, 8); stroke(m, 60, 70, 80, 8, -17); stroke(m, 110, 110, 70, 10, 31); stroke(m, 30, 120, 60, 8, 80); stroke(m, 140, 60, 40, 7, -63)
    yield 'turned', m, (523, 311), {}
    yield 'turned, PaddleOCR', m, (523, 311), dict(use_dilation=False, unclip_ratio=1.5, box_thresh=0.6)
    yield 'turned, slow', m, (160, 160), dict(score_mode='slow')
    m = np.clip(random.normal(0.25, 0.2, (64, 96)), 0, 1)
    for _ in range(2): m = (m + np.roll(m, 1, 0) + np.roll(m, 1, 1) + np.roll(m, -1, 0))/4
    yield 'noise', np.clip(m*1.6-0.05, 0, 1), (96, 64), dict(box_thresh=0.3)
    yield 'noise, not grown', np.clip(m*1.6-0.05, 0, 1), (200, 130), dict(box_thresh=0.3, use_dilation=False)
    yield 'noise, slow', np.clip(m*1.6-0.05, 0, 1), (96, 64), dict(box_thresh=0.3, use_dilation=False, score_mode='slow')
    m = np.zeros((96, 96))
    stroke(m, 48, 48, 80, 60, 0)
    hole = np.zeros_like(m); stroke(hole, 48, 48, 56, 36, 0); m = m*(1-hole)
    stroke(m, 48, 48, 30, 8, 0); stroke(m, 2, 50, 40, 8, 88); stroke(m, 90, 93, 40, 9, 4)
    yield 'a frame, and borders', m, (192, 96), dict(box_thresh=0.3)
    yield 'nothing', np.zeros((32, 64)), (64, 32), {}


def detections():
    for name, m, (width, height), options in maps():
        data = np.round(m*255).astype(np.uint8)
        o = dict(thresh=0.3, box_thresh=0.5, max_candidates=1000, unclip_ratio=1.6, use_dilation=True, score_mode='fast') | options
        boxes, scores = DBPostProcess(**o)((data/np.float32(255)).astype(np.float32)[None, None], (height, width))
        detector = TextDetector.__new__(TextDetector)
        lines = []
        for box, score in zip(boxes, scores):
            kept = detector.filter_tag_det_res(np.array([box]), (height, width))
            lines += [(b.tolist(), score) for b in kept]
        order = RapidOCR.sorted_boxes(np.array([b for b, _ in lines])) if lines else []
        scores = {json.dumps(b): s for b, s in lines}
        yield dict(name=name, map=base64.b64encode(zlib.compress(data.tobytes(), 9)).decode(), shape=list(m.shape), width=width, height=height,
                   threshold=o['thresh'], score=o['box_thresh'], unclip=o['unclip_ratio'], dilate=o['use_dilation'], mode=o['score_mode'],
                   lines=[dict(corners=b.tolist(), score=round(scores[json.dumps(b.tolist())], 5)) for b in order])


def sequences():
    characters = list('abcdé中\u3000')
    for name, steps, classes in ('short', 12, 9), ('one step', 1, 9), ('blanks', 6, 9), ('long', 60, 9):
        p = random.random((steps, classes)).astype(np.float32)**3
        if name == 'blanks': p[:, 0] = 2
        if name == 'long': p[10:14, 3] = 1.5; p[14:16, 0] = 1.5; p[16:20, 3] = 1.5
        p /= p.sum(axis=1, keepdims=True)
        p = p.astype(np.float32).round(5)
        text, score = CTCLabelDecode(character=list(characters))(p[None])[0]
        yield dict(name=name, characters=characters, scores=[[float(format(v, '.5f')) for v in row] for row in p], text=text, score=round(float(score), 6))


def sizes():
    """The sizes that images get."""
    for kind, limit in ('min', 736), ('max', 960), ('min', 320):
        for w, h in (800, 480), (480, 800), (50, 60), (3000, 2000), (961, 959), (1000, 700), (1440, 90), (333, 777):
            image = DetPreProcess(limit, kind).resize(np.zeros((h, w, 3), np.uint8))
            if image is not None: yield dict(kind=kind, limit=limit, width=w, height=h, to=[image.shape[1], image.shape[0]])


json.dump(dict(detections=list(detections()), sequences=list(sequences())), open('text.json', 'w'), ensure_ascii=False, indent=1)
json.dump(list(sizes()), open('../../preprocess/geometry/testdata/text.json', 'w'), indent=1)
