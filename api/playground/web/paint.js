// Draws predictions over images. What is on the screen and in saved images is drawn by the same code.
import { classColor, contrast, css, decodeMask, heatColor } from './decode.js';
import { details, kindOf, listed, maskOf, nameOf, nothingDecoded, outline, parts, pointShown, shownPart, threshold, visible } from './prediction.js';

/**
 * @typedef {import('./decode.js').Color} Color
 * @typedef {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} Context
 * @typedef {object} Scene what is drawn
 * @property {ImageBitmap | null} bitmap null: the browser cannot decode the image
 * @property {number} width of the image, in pixels
 * @property {number} height
 * @property {import('./server.js').Prediction | null} prediction
 * @property {import('./prediction.js').Decoded | null} decoded
 * @property {import('./server.js').Model | null} model
 * @property {import('./prediction.js').Shown} shown
 * @property {number} hover the number of the object that stands out; -1: none
 */

/**
 * Draws a scene. The unit of the context is a pixel of the image.
 * @param {Context} to
 * @param {Scene} scene
 * @param {number} unit pixels of the image in one of the screen: lines and text keep their size there
 */
export function paint(to, scene, unit) {
  const { bitmap, width, height } = scene;
  if (bitmap) to.drawImage(bitmap, 0, 0, width, height);
  else fill(to, '#888', 0, 0, width, height);
  overlay(to, scene, unit);
}

/** Draws a prediction over its image. @param {Context} to @param {Scene} scene @param {number} unit @returns {void} */
function overlay(to, scene, unit) {
  const { prediction, decoded } = scene;
  if (!prediction || !decoded) return;
  switch (kindOf(prediction)) {
    case 'classes': return labels(to, shownPart(prediction, scene.model, scene.shown).top, unit);
    case 'boxes': return objects(to, scene, unit);
    case 'lines': return lines(to, scene, unit);
    case 'depth': return layer(to, scene, 'numbers', () => heat(scene));
    case 'anomaly': return anomaly(to, scene, unit);
    case 'semantic': return layer(to, scene, `classes ${[...scene.shown.hidden].join('\n')}`, () => classMap(scene));
    case 'image': return replaced(to, scene, unit);
    case 'text': return tag(to, prediction.text, 0, 0, lineColor, unit, scene);
    case 'steps':
      for (const [name, part] of parts(prediction)) {
        overlay(to, { ...scene, prediction: part, decoded: decoded.parts.get(name) ?? null, hover: part === listed(prediction) ? scene.hover : -1 }, unit);
      }
  }
}

/** @param {Context} to @param {string} style @param {number} x @param {number} y @param {number} w @param {number} h */
function fill(to, style, x, y, w, h) {
  to.fillStyle = style;
  to.fillRect(x, y, w, h);
}

/**
 * Draws a layer over the whole image, and keeps the last one.
 * @param {Context} to @param {Scene} scene @param {string} name @param {() => OffscreenCanvas} draw
 */
function layer(to, scene, name, draw) {
  const layers = scene.decoded?.layers ?? new Map();
  let picture = layers.get(name);
  if (!picture) {
    layers.clear(); // only the last one is kept
    layers.set(name, (picture = draw()));
  }
  to.globalAlpha = scene.shown.opacity;
  to.drawImage(picture, 0, 0, scene.width, scene.height);
  to.globalAlpha = 1;
}

/**
 * Makes an image of pixels.
 * @param {number} width @param {number} height
 * @param {(i: number) => Color | null} color of each; null: transparent
 */
function picture(width, height, color) {
  const canvas = new OffscreenCanvas(Math.max(1, width), Math.max(1, height));
  const to = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
  const pixels = to.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < width * height; i++) {
    const c = color(i);
    if (c) pixels.data.set([c[0], c[1], c[2], 255], 4 * i);
  }
  to.putImageData(pixels, 0, 0);
  return canvas;
}

const heatColors = Array.from({ length: 256 }, (_, i) => heatColor(i / 255));

/** @param {Scene} scene */
function heat(scene) {
  const map = scene.decoded?.numbers;
  if (!map) return picture(1, 1, () => null);
  const per = map.high > map.low ? 255 / (map.high - map.low) : 0;
  return picture(map.width, map.height, (i) => heatColors[Math.round((map.values[i] - map.low) * per)]);
}

/** @param {Context} to @param {Scene} scene @param {number} unit */
function anomaly(to, scene, unit) {
  const p = /** @type {Record<string, any>} */ (scene.prediction);
  layer(to, scene, 'numbers', () => heat(scene));
  const anomalous = p.score >= threshold(scene.model, scene.shown);
  tag(to, `${anomalous ? 'anomalous' : 'normal'} ${p.score.toFixed(3)}`, 0, 0, anomalous ? [200, 20, 20] : [20, 130, 60], unit, scene);
}

/** @param {Scene} scene */
function classMap(scene) {
  const { prediction, decoded, shown, width, height } = scene;
  const list = /** @type {{class: number, label?: string, mask?: any}[]} */ (prediction?.classes ?? []);
  const hidden = new Set(list.filter((c) => shown.hidden.has(nameOf(c))).map((c) => c.class));
  if (decoded?.classes) {
    const { values } = decoded.classes, colors = Array.from({ length: 256 }, (_, i) => classColor(i));
    return picture(decoded.classes.width, decoded.classes.height, (i) => (hidden.has(values[i]) ? null : colors[values[i]]));
  }
  const all = picture(width, height, () => null), to = all.getContext('2d');
  for (const c of list) {
    if (c.mask?.counts === undefined || hidden.has(c.class)) continue;
    const mask = decodeMask(c.mask), color = classColor(c.class);
    to?.drawImage(picture(mask.width, mask.height, (i) => (mask.inside[i] ? color : null)), mask.x, mask.y);
  }
  return all;
}

/** The part of the image that the model's own image covers, from the left. @param {Context} to @param {Scene} scene @param {number} unit */
function replaced(to, scene, unit) {
  const made = scene.decoded?.image, { width, height } = scene;
  if (!made) return;
  const part = scene.shown.opacity;
  if (part > 0) to.drawImage(made, 0, 0, part * made.width, made.height, 0, 0, part * width, height);
  if (part > 0 && part < 1) fill(to, '#fff', part * width - unit, 0, 2 * unit, height);
}

const least = 0.01; // score of a class that is written over the image; the best one always is

/** @param {Context} to @param {{class: number, label?: string, score: number}[]} list @param {number} unit */
function labels(to, list, unit) {
  list.filter((c, i) => i === 0 || c.score >= least).forEach((c, i) => tag(to, `${nameOf(c)} ${c.score.toFixed(2)}`, 0, i * tagHeight * unit, classColor(c.class), unit, null));
}

const lineWidth = 2, tagHeight = 18; // in pixels of the screen

/** The object that stands out, if it is shown. @param {Scene} scene @param {{number: number}[]} list */
const standing = (scene, list) => (list.some((v) => v.number === scene.hover) ? scene.hover : -1);

/** @param {Context} to @param {Scene} scene @param {number} unit */
function objects(to, scene, unit) {
  const p = /** @type {Record<string, any>} */ (scene.prediction), list = visible(p, scene.model, scene.shown).reverse(), hover = standing(scene, list);
  for (const { number, object } of list) mask(to, { ...scene, hover }, number, object, unit);
  for (const { number, object } of list) {
    to.globalAlpha = hover < 0 || hover === number ? 1 : 0.25;
    polygon(to, outline(object), classColor(object.class ?? 0), unit * (hover === number ? 2 : 1) * lineWidth);
    within(to, scene, object, unit);
    if (object.keypoints) skeleton(to, object.keypoints, p.skeleton ?? [], scene.shown, unit);
  }
  for (const { number, object } of list) {
    to.globalAlpha = hover < 0 || hover === number ? 1 : 0.15;
    const [x, y] = object.corners ? highest(object.corners) : [object.x1, object.y1];
    const score = object.score === undefined ? '' : ' ' + object.score.toFixed(2);
    tag(to, nameOf(object) + score + suffix(object), x, y - tagHeight * unit, classColor(object.class ?? 0), unit, scene);
  }
  to.globalAlpha = 1;
}

/** @param {Record<string, any>} object */
function suffix(object) {
  const found = details(object);
  return found ? ': ' + found : '';
}

/** Draws what later steps have found in an object, where that is in pixels of the image. @param {Context} to @param {Scene} scene @param {Record<string, any>} object @param {number} unit */
function within(to, scene, object, unit) {
  for (const [, part] of parts(object)) {
    if ((part.boxes || part.lines) && part.width === scene.width && part.height === scene.height) {
      overlay(to, { ...scene, prediction: part, decoded: nothingDecoded(), hover: -1 }, unit);
    }
  }
}

/** @param {[number, number][]} corners */
const highest = (corners) => corners.reduce((best, c) => (c[1] < best[1] ? c : best));

/** @param {Context} to @param {Scene} scene @param {number} number @param {Record<string, any>} object @param {number} unit */
function mask(to, scene, number, object, unit) {
  const encoded = object.mask, color = classColor(object.class ?? 0);
  if (!encoded || !scene.decoded) return;
  to.globalAlpha = scene.shown.opacity * (scene.hover < 0 || scene.hover === number ? 1 : 0.25);
  if (encoded.polygon) {
    to.fillStyle = css(color);
    for (const part of encoded.polygon) trace(to, outline({ polygon: part })), to.fill('evenodd');
  } else if (encoded.counts !== undefined) {
    const name = `mask ${number}`;
    let drawn = scene.decoded.layers.get(name);
    const m = maskOf(scene.decoded, number, encoded);
    if (!drawn) scene.decoded.layers.set(name, (drawn = picture(m.width, m.height, (i) => (m.inside[i] ? color : null))));
    to.imageSmoothingEnabled = unit > 1;
    if (m.width > 0) to.drawImage(drawn, m.x, m.y);
    to.imageSmoothingEnabled = true;
  }
  to.globalAlpha = 1;
}

/** @param {Context} to @param {[number, number][]} corners */
function trace(to, corners) {
  to.beginPath();
  corners.forEach(([x, y], i) => (i === 0 ? to.moveTo(x, y) : to.lineTo(x, y)));
  to.closePath();
}

/** @param {Context} to @param {[number, number][]} corners @param {Color} color @param {number} width */
function polygon(to, corners, color, width) {
  trace(to, corners);
  to.lineJoin = 'round';
  to.lineWidth = width;
  to.strokeStyle = css(color);
  to.stroke();
}

/**
 * @param {Context} to @param {Record<string, any>[]} points @param {[number, number][]} pairs
 * @param {import('./prediction.js').Shown} shown @param {number} unit
 */
function skeleton(to, points, pairs, shown, unit) {
  pairs.forEach(([from, until], i) => {
    const a = points[from], b = points[until];
    if (!a || !b || !pointShown(a, shown) || !pointShown(b, shown)) return;
    polygon(to, [[a.x, a.y], [b.x, b.y]], classColor(i), lineWidth * unit);
  });
  points.forEach((point, i) => {
    if (!pointShown(point, shown)) return;
    to.beginPath();
    to.arc(point.x, point.y, 3.5 * unit, 0, 2 * Math.PI);
    to.fillStyle = css(classColor(i));
    to.fill();
    to.lineWidth = unit;
    to.strokeStyle = '#fff';
    to.stroke();
  });
}

/** @type {Color} */
const lineColor = [37, 99, 235];

/** @param {Context} to @param {Scene} scene @param {number} unit */
function lines(to, scene, unit) {
  const p = /** @type {Record<string, any>} */ (scene.prediction), list = visible(p, scene.model, scene.shown).reverse(), hover = standing(scene, list);
  for (const { number, object } of list) {
    const corners = outline(object);
    if (corners.length === 0) continue;
    to.globalAlpha = hover < 0 || hover === number ? 1 : 0.25;
    polygon(to, corners, lineColor, unit * (hover === number ? 2 : 1) * lineWidth);
    const text = object.text || details(object);
    if (text) {
      const [x, y] = highest(corners);
      tag(to, text, Math.min(x, ...corners.map((c) => c[0])), y - tagHeight * unit, lineColor, unit, scene);
    }
  }
  to.globalAlpha = 1;
}

/**
 * Draws a text, within the image if there is a scene.
 * @param {Context} to @param {string} text @param {number} x @param {number} y @param {Color} color @param {number} unit @param {Scene | null} scene
 */
function tag(to, text, x, y, color, unit, scene) {
  to.font = `600 ${12 * unit}px system-ui, sans-serif`;
  to.textBaseline = 'middle';
  const width = to.measureText(text).width + 8 * unit, height = tagHeight * unit;
  if (scene) {
    x = Math.max(0, Math.min(x, scene.width - width));
    y = Math.max(0, Math.min(y, scene.height - height));
  }
  fill(to, css(color), x, y, width, height);
  to.fillStyle = contrast(color);
  to.fillText(text, x + 4 * unit, y + height / 2);
}

/**
 * Draws a scene at the size of its image.
 * @param {Scene} scene
 */
export function drawn(scene) {
  const canvas = new OffscreenCanvas(scene.width, scene.height);
  const to = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
  paint(to, { ...scene, hover: -1 }, Math.max(1, Math.max(scene.width, scene.height) / 1000));
  return canvas;
}
