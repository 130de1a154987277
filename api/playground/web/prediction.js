// Predictions of all tasks, which their form distinguishes, and what of them is shown.
import { decodeMask, decodeNumbers, decodePNG, bytesOf } from './decode.js';

/**
 * @typedef {import('./server.js').Prediction} Prediction
 * @typedef {import('./server.js').Model} Model
 * @typedef {'classes' | 'boxes' | 'lines' | 'depth' | 'anomaly' | 'semantic' | 'vector' | 'image' | 'text' | 'steps' | 'error' | 'other'} Kind
 */

/**
 * What is shown of predictions.
 * @typedef {object} Shown
 * @property {number | null} score the lowest score of objects; null: the model's own thresholds
 * @property {number | null} iou null: the model's own
 * @property {number | null} top classes of a classification; null: as many as the model gives
 * @property {number} visibility the lowest visibility of points
 * @property {number} opacity of masks and maps, and the part of the image that is replaced by one made of it
 * @property {Set<string>} hidden names of classes that are not shown
 */

/** @param {Prediction} p @returns {Kind} */
export function kindOf(p) {
  if (typeof p.error === 'string') return 'error';
  if (Array.isArray(p.top)) return 'classes';
  if (Array.isArray(p.boxes)) return 'boxes';
  if (Array.isArray(p.lines)) return 'lines';
  if (typeof p.text === 'string') return 'text';
  if (typeof p.depth?.width === 'number') return 'depth';
  if (typeof p.anomalous === 'boolean') return 'anomaly';
  if (typeof p.map?.png === 'string' || Array.isArray(p.classes)) return 'semantic';
  if (Array.isArray(p.vector) || typeof p.vector === 'string') return 'vector';
  if (typeof (p.image?.png ?? p.image?.jpeg) === 'string') return 'image';
  return parts(p).length > 0 ? 'steps' : 'other';
}

/**
 * Returns the predictions within a prediction or an object, by the names of the steps of a pipeline.
 * @param {Record<string, any>} p
 * @returns {[string, Prediction][]}
 */
export const parts = (p) => Object.entries(p).filter(([name, v]) => v && typeof v === 'object' && !Array.isArray(v) && name !== 'mask' && kindOf(v) !== 'other');

/** Returns the prediction whose objects are listed: that of the first step that has some. @param {Prediction} p @returns {Prediction} */
export const listed = (p) => (kindOf(p) === 'steps' ? parts(p).map(([, part]) => listed(part)).find((part) => part.boxes || part.lines) ?? p : p);

/** Returns the width and height of the image, if the prediction says them. @param {Prediction} p @returns {[number, number] | null} */
export function sizeOf(p) {
  if (typeof p.width === 'number') return [p.width, p.height];
  for (const [, part] of kindOf(p) === 'steps' ? parts(p) : []) {
    const size = sizeOf(part);
    if (size) return size;
  }
  return null;
}

/** Says what later steps have found in an object, "" for nothing. @param {Record<string, any>} object @returns {string} */
export const details = (object) => parts(object).map(([, p]) => {
  switch (kindOf(p)) {
    case 'classes': return p.top.length ? nameOf(p.top[0]) : '';
    case 'text': return p.text;
    case 'lines': return p.lines.map((/** @type {any} */ l) => l.text || details(l)).filter(Boolean).join(' / ');
    case 'boxes': return p.boxes.map((/** @type {any} */ b) => nameOf(b)).join(', ');
    case 'error': return p.error;
  }
  return '';
}).filter(Boolean).join(', ');

/** @param {{label?: string, class?: number}} object */
export const nameOf = (object) => object.label || (object.class === undefined ? 'object' : `class ${object.class}`);

/**
 * Returns the lowest score that objects of a class must have to be shown. Where the model has no threshold, that is what the server gives.
 * @param {Model | null} model @param {Shown} shown @param {string} [label]
 */
export function threshold(model, shown, label) {
  if (shown.score !== null) return shown.score;
  const own = model?.defaults;
  return own?.class_thresholds?.find((c) => c.label === label)?.score ?? own?.score_threshold ?? 0;
}

/** Scores of objects that are requested although they are not shown at first, so that the threshold can be lowered without a request. */
const spare = { boxes: 0.05, masks: 0.15, count: 300, masked: 100, classes: 20 };

/**
 * Returns the parameters of a request whose answer has more than is shown, so that sliders need no further request.
 * @param {Model | null} model
 * @param {Shown} shown
 * @returns {Record<string, number>}
 */
export function parameters(model, shown) {
  const own = model?.defaults, task = model?.task ?? '';
  /** @type {Record<string, number>} */
  const list = {};
  if (task === 'classification') {
    const classes = model?.labels?.length ?? 0;
    if (classes > 0) list.top_k = Math.max(Math.min(spare.classes, classes), Math.min(shown.top ?? 0, classes));
  } else if (own?.max_boxes !== undefined) {
    const masks = task === 'instance_segmentation';
    const lowest = Math.min(threshold(model, shown), ...(own.class_thresholds ?? []).map((c) => c.score));
    list.score_threshold = Math.min(masks ? spare.masks : spare.boxes, lowest);
    list.max_boxes = Math.max(own.max_boxes, masks ? spare.masked : spare.count);
    if (shown.iou !== null) list.iou_threshold = shown.iou;
  }
  return list;
}

/**
 * Returns the parameters of a request whose answer is what is shown.
 * @param {Model | null} model @param {Shown} shown
 * @returns {Record<string, string | number>}
 */
export function shownParameters(model, shown) {
  /** @type {Record<string, string | number>} */
  const list = {}, own = model?.defaults;
  if (model?.task === 'classification' && shown.top !== null && shown.top !== own?.top_k) list.top_k = shown.top;
  if (own?.score_threshold !== undefined && shown.score !== null) list.score_threshold = shown.score;
  if (own?.max_boxes !== undefined && shown.iou !== null) list.iou_threshold = shown.iou;
  return list;
}

/**
 * Counts the objects of each class that reach the threshold, or the classes of a map, the most frequent first.
 * @param {Prediction} p @param {Model | null} model @param {Shown} shown
 * @returns {{name: string, number: number, count: number}[]}
 */
export function classesOf(p, model, shown) {
  /** @type {Map<string, {name: string, number: number, count: number}>} */
  const classes = new Map();
  for (const object of p.boxes ?? p.classes ?? []) {
    const name = nameOf(object), reaches = object.score === undefined || object.score >= threshold(model, shown, object.label);
    if (!reaches && !shown.hidden.has(name)) continue;
    const entry = classes.get(name) ?? { name, number: object.class ?? 0, count: 0 };
    entry.count += reaches ? 1 : 0;
    classes.set(name, entry);
  }
  return [...classes.values()].sort((a, b) => b.count - a.count);
}

/**
 * Returns the objects that are shown, with their numbers in the prediction.
 * @param {Prediction} p @param {Model | null} model @param {Shown} shown
 * @returns {{number: number, object: Record<string, any>}[]}
 */
export function visible(p, model, shown) {
  /** @type {Record<string, any>[]} */
  const objects = p.boxes ?? p.lines ?? [];
  const list = [];
  for (const [number, object] of objects.entries()) {
    if (object.score !== undefined && object.score < threshold(model, shown, object.label)) continue;
    if (p.boxes && shown.hidden.has(nameOf(object))) continue;
    list.push({ number, object });
  }
  return list.slice(0, model?.defaults?.max_boxes ?? list.length);
}

/**
 * Returns the part of a prediction that is shown.
 * @param {Prediction} p @param {Model | null} model @param {Shown} shown
 * @returns {Prediction}
 */
export function shownPart(p, model, shown) {
  switch (kindOf(p)) {
    case 'classes':
      return { ...p, top: p.top.slice(0, shown.top ?? model?.defaults?.top_k ?? 5) };
    case 'boxes':
      return { ...p, boxes: visible(p, model, shown).map((v) => v.object) };
    case 'lines':
      return { ...p, lines: visible(p, model, shown).map((v) => v.object) };
    case 'anomaly':
      return { ...p, anomalous: p.score >= threshold(model, shown) };
    case 'steps':
      return { ...p, ...Object.fromEntries(parts(p).map(([name, part]) => [name, shownPart(part, model, shown)])) };
  }
  return p;
}

/** @param {Record<string, any>} point @param {Shown} shown */
export const pointShown = (point, shown) => point.visibility === undefined || point.visibility >= shown.visibility;

/**
 * The four or more corners of an object: of a rotated box, of a line of text, or of a box.
 * @param {Record<string, any>} object
 * @returns {[number, number][]}
 */
export function outline(object) {
  const given = object.corners ?? object.quadrilateral ?? object.polygon;
  if (Array.isArray(given)) return typeof given[0] === 'number' ? pairs(given) : given;
  if (object.x1 === undefined) return [];
  return [[object.x1, object.y1], [object.x2, object.y1], [object.x2, object.y2], [object.x1, object.y2]];
}

/** @param {number[]} flat @returns {[number, number][]} */
function pairs(flat) {
  /** @type {[number, number][]} */
  const list = [];
  for (let i = 0; i + 1 < flat.length; i += 2) list.push([flat[i], flat[i + 1]]);
  return list;
}

/** @param {[number, number][]} corners @param {number} x @param {number} y whether a point is within, by the crossings of a ray */
function within(corners, x, y) {
  let inside = false;
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i++) {
    const [ax, ay] = corners[i], [bx, by] = corners[j];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

/** @param {[number, number][]} corners */
function area(corners) {
  let sum = 0;
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i++) sum += corners[j][0] * corners[i][1] - corners[i][0] * corners[j][1];
  return Math.abs(sum) / 2;
}

/**
 * Returns the number of the smallest shown object at a point of the image, -1 for none.
 * @param {{number: number, object: Record<string, any>}[]} objects @param {number} x @param {number} y
 */
export function objectAt(objects, x, y) {
  let found = -1, smallest = Infinity;
  for (const { number, object } of objects) {
    const corners = outline(object), size = area(corners);
    if (size < smallest && within(corners, x, y)) [found, smallest] = [number, size];
  }
  return found;
}

/**
 * What is decoded of a prediction to draw it.
 * @typedef {object} Decoded
 * @property {import('./decode.js').NumberMap} [numbers]
 * @property {{width: number, height: number, values: Uint8Array | Uint16Array}} [classes] the class of each pixel
 * @property {ImageBitmap} [image]
 * @property {Map<number, import('./decode.js').Mask>} masks of objects that were drawn
 * @property {Map<string, OffscreenCanvas>} layers what was drawn before
 * @property {Map<string, Decoded>} parts of a pipeline's steps
 */

/** @returns {Decoded} */
export const nothingDecoded = () => ({ masks: new Map(), layers: new Map(), parts: new Map() });

/** @param {Prediction} p @returns {Promise<Decoded>} */
export async function decode(p) {
  const decoded = nothingDecoded();
  const kind = kindOf(p);
  if (kind === 'depth') decoded.numbers = await decodeNumbers(p.depth);
  else if (kind === 'anomaly' && p.map) decoded.numbers = await decodeNumbers(p.map);
  else if (kind === 'semantic' && p.map) decoded.classes = await decodePNG(bytesOf(p.map.png));
  else if (kind === 'steps') {
    for (const [name, part] of parts(p)) decoded.parts.set(name, await decode(part));
  } else if (kind === 'image') {
    decoded.image = await createImageBitmap(new Blob([bytesOf(p.image.png ?? p.image.jpeg)]));
  }
  return decoded;
}

/**
 * @param {Decoded} decoded @param {number} number @param {{size: [number, number], counts: string}} encoded
 */
export function maskOf(decoded, number, encoded) {
  let mask = decoded.masks.get(number);
  if (!mask) {
    mask = decodeMask(encoded);
    decoded.masks.set(number, mask);
  }
  return mask;
}

/**
 * Says what a prediction has at a point of its image, "" for nothing.
 * @param {Prediction} p @param {Decoded} decoded @param {number} x from 0 to 1 @param {number} y from 0 to 1
 */
export function readout(p, decoded, x, y) {
  const at = (/** @type {{width: number, height: number, values: ArrayLike<number>}} */ m) =>
    m.values[Math.min(m.height - 1, Math.floor(y * m.height)) * m.width + Math.min(m.width - 1, Math.floor(x * m.width))];
  if (decoded.numbers) return `${p.depth ? 'depth' : 'score'} ${at(decoded.numbers).toPrecision(4)}`;
  if (decoded.classes) {
    const number = at(decoded.classes);
    return nameOf(p.classes.find((/** @type {{class: number}} */ c) => c.class === number) ?? { class: number });
  }
  return '';
}

/**
 * Says a prediction in a few words.
 * @param {Prediction} p @param {Model | null} model @param {Shown} shown
 * @returns {string}
 */
export function inWords(p, model, shown) {
  const number = (/** @type {number} */ v) => v.toFixed(2);
  switch (kindOf(p)) {
    case 'error': return p.error;
    case 'classes': return p.top.length ? `${nameOf(p.top[0])} ${number(p.top[0].score)}` : 'no class';
    case 'boxes': return counted(visible(p, model, shown).map((v) => nameOf(v.object)));
    case 'lines': {
      const lines = visible(p, model, shown), texts = lines.map((v) => v.object.text || details(v.object)).filter(Boolean);
      return `${lines.length} ${lines.length === 1 ? 'line' : 'lines'}${texts.length ? ': ' + texts.join(' / ') : ''}`;
    }
    case 'depth': return `depth from ${p.min.toPrecision(3)} to ${p.max.toPrecision(3)}`;
    case 'anomaly': return `${p.score >= threshold(model, shown) ? 'anomalous' : 'normal'}, score ${p.score.toFixed(3)}`;
    case 'semantic': return p.classes.slice(0, 3).map((/** @type {any} */ c) => `${nameOf(c)} ${Math.round(100 * c.share)} %`).join(', ');
    case 'vector': return 'a vector';
    case 'text': return p.text ? `“${p.text}”` : 'no text';
    case 'steps': return parts(p).map(([name, part]) => `${name}: ${inWords(part, model, shown)}`).join('; ');
    case 'image': return `an image of ${p.image.width} × ${p.image.height} pixels`;
  }
  return 'a prediction that this page cannot draw';
}

/** @param {string[]} names such as "3 objects: 2 dog, 1 cat" */
function counted(names) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  const list = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 3).map(([name, n]) => `${n} ${name}`);
  const more = counts.size > 3 ? ', …' : '';
  return `${names.length} ${names.length === 1 ? 'object' : 'objects'}${list.length ? ': ' + list.join(', ') + more : ''}`;
}
