// The result next to the image: controls, the list of objects or classes, and the times of the stages.
import { classColor, css, decodeVector } from './decode.js';
import { bar, count, facts, make, short } from './dom.js';
import { classesOf, details, kindOf, nameOf, parts, shownPart, threshold, visible } from './prediction.js';

/**
 * @typedef {import('./prediction.js').Shown} Shown
 * @typedef {import('./server.js').Model} Model
 * @typedef {import('./server.js').Prediction} Prediction
 */

/**
 * Makes a slider with its value next to it.
 * @param {{id: string, name: string, value: number, low?: number, high?: number, step?: number, words?: (v: number) => string, set: (v: number) => void}} s
 */
function slider({ id, name, value, low = 0, high = 1, step = 0.01, words = (v) => v.toFixed(2), set }) {
  const output = make('output', { for: id }, words(value));
  const input = make('input', { type: 'range', id, min: low, max: high, step, value, 'aria-valuetext': words(value), input: () => {
    const v = Number(input.value);
    output.textContent = words(v);
    input.setAttribute('aria-valuetext', words(v));
    set(v);
  } });
  return make('div', { class: 'slider' }, make('label', { for: id }, name), input, output);
}

const percent = (/** @type {number} */ v) => `${Math.round(100 * v)} %`;

/**
 * Makes the sliders of a prediction.
 * @param {Prediction} p @param {Model | null} model @param {Shown} shown
 * @param {(change: Partial<Shown>) => void} change
 * @returns {Node[]}
 */
export function sliders(p, model, shown, change) {
  const kind = kindOf(p), own = model?.defaults;
  /** @type {Node[]} */
  const list = [];
  const score = () => slider({ id: 'score', name: 'Lowest score', value: threshold(model, shown), set: (v) => change({ score: v }) });
  const opacity = (/** @type {string} */ name) => slider({ id: 'opacity', name, value: shown.opacity, words: percent, set: (v) => change({ opacity: v }) });
  if (kind === 'classes' && p.top.length > 1) {
    list.push(slider({ id: 'top', name: 'Classes', value: Math.min(p.top.length, shown.top ?? own?.top_k ?? 5), low: 1, high: p.top.length, step: 1,
      words: String, set: (v) => change({ top: v }) }));
  }
  if (kind === 'boxes' || kind === 'lines' || kind === 'anomaly') list.push(score());
  if (kind === 'boxes' && own?.iou_threshold) {
    list.push(slider({ id: 'iou', name: 'Overlap allowed', value: shown.iou ?? own.iou_threshold, set: (v) => change({ iou: v }) }));
  }
  if (kind === 'boxes' && p.boxes.some((/** @type {any} */ b) => b.keypoints?.some((/** @type {any} */ k) => k.visibility !== undefined))) {
    list.push(slider({ id: 'visibility', name: 'Visible points', value: shown.visibility, set: (v) => change({ visibility: v }) }));
  }
  if (kind === 'boxes' && p.boxes.some((/** @type {any} */ b) => b.mask)) list.push(opacity('Masks'));
  if (kind === 'semantic' || kind === 'depth' || kind === 'anomaly') list.push(opacity('Map'));
  if (kind === 'image') list.push(opacity('Before and after'));
  return list;
}

/**
 * Makes the filter of classes, if there are several.
 * @param {Prediction} p @param {Model | null} model @param {Shown} shown @param {(hidden: Set<string>) => void} change
 * @returns {HTMLElement | null}
 */
export function classFilter(p, model, shown, change) {
  const kind = kindOf(p);
  if (kind !== 'boxes' && kind !== 'semantic') return null;
  const classes = classesOf(p, model, shown);
  if (classes.length < 2 && shown.hidden.size === 0) return null;
  const toggle = (/** @type {string} */ name) => {
    const hidden = new Set(shown.hidden);
    if (!hidden.delete(name)) hidden.add(name);
    change(hidden);
  };
  const chips = classes.map(({ name, number, count }) => make('button', { type: 'button', class: 'chip', 'aria-pressed': String(!shown.hidden.has(name)),
    'data-class': name, click: () => toggle(name) }, swatch(number), kind === 'boxes' ? `${name} ${count}` : name));
  return make('fieldset', { class: 'filter' }, make('legend', {}, 'Classes'),
    make('div', { class: 'chips' }, ...chips),
    make('div', { class: 'links' },
      make('button', { type: 'button', class: 'link', id: 'show-all', click: () => change(new Set()) }, 'Show all'),
      make('button', { type: 'button', class: 'link', id: 'hide-all', click: () => change(new Set(classes.map((c) => c.name))) }, 'Hide all')));
}

/** @param {number} number */
function swatch(number) {
  const square = make('span', { class: 'swatch', 'aria-hidden': 'true' });
  square.style.background = css(classColor(number));
  return square;
}

/**
 * Makes what is shown of a prediction as text.
 * @param {Prediction} p @param {Model | null} model @param {Shown} shown @param {(number: number) => void} hover
 * @returns {Node[]}
 */
export function answer(p, model, shown, hover) {
  switch (kindOf(p)) {
    case 'classes':
      return [make('ol', { class: 'bars', id: 'classes' }, ...shownPart(p, model, shown).top.map((/** @type {any} */ c) =>
        make('li', {}, make('span', { class: 'name' }, nameOf(c)), make('span', { class: 'value' }, c.score.toFixed(3)), bar(c.score))))];
    case 'boxes':
    case 'lines':
      return [objects(p, model, shown, hover)];
    case 'semantic':
      return [make('ol', { class: 'bars', id: 'classes' }, ...p.classes.map((/** @type {any} */ c) =>
        make('li', {}, make('span', { class: 'name' }, swatch(c.class), nameOf(c)), make('span', { class: 'value' }, percent(c.share)),
          bar(c.share, css(classColor(c.class))))))];
    case 'vector':
      return vector(p);
    case 'depth':
      return [legend(p.min, p.max), facts([['Map', `${p.depth.width} × ${p.depth.height}`]])];
    case 'anomaly':
      return [make('ol', { class: 'bars' }, make('li', {}, make('span', { class: 'name' }, p.score >= threshold(model, shown) ? 'anomalous' : 'normal'),
        make('span', { class: 'value' }, p.score.toFixed(3)), bar(p.score)))];
    case 'image':
      return [facts([['Image', `${p.image.width} × ${p.image.height}`], ['Sent', `${p.width} × ${p.height}`]])];
    case 'text':
      return [facts([['Text', p.text], ['Score', p.score?.toFixed(3)]])];
    case 'steps':
      return parts(p).flatMap(([name, part]) => [make('h3', {}, name), ...answer(part, model, shown, hover)]);
    case 'other':
      return [make('pre', { class: 'scroll', tabindex: 0 }, JSON.stringify(p, null, 1))];
  }
  return [];
}

/** @param {Prediction} p @param {Model | null} model @param {Shown} shown @param {(number: number) => void} hover */
function objects(p, model, shown, hover) {
  const list = visible(p, model, shown);
  if (list.length === 0) return make('p', { class: 'hint' }, 'Nothing reaches this score. Move the slider to the left.');
  const rows = list.map(({ number, object }) => {
    const found = details(object), text = p.lines ? object.text || found || 'line' : found ? `${nameOf(object)}: ${found}` : nameOf(object);
    const on = () => hover(number), off = () => hover(-1);
    const place = object.x1 === undefined ? '' : `${short(object.x1)}, ${short(object.y1)} to ${short(object.x2)}, ${short(object.y2)}`;
    return make('li', {}, make('button', { type: 'button', class: 'object', 'data-number': number, title: place, pointerenter: on, pointerleave: off, focus: on, blur: off },
      make('span', { class: 'name' }, p.boxes ? swatch(object.class ?? 0) : null, text),
      make('span', { class: 'value' }, object.score === undefined ? '' : object.score.toFixed(2)), bar(object.score ?? 0)));
  });
  return make('ol', { class: 'bars objects', id: 'objects' }, ...rows);
}

/** @param {Prediction} p @returns {Node[]} */
function vector(p) {
  const values = decodeVector(p.vector), first = Array.from({ length: Math.min(8, values.length) }, (_, i) => values[i].toFixed(4));
  return [facts([['Length', String(values.length)], ['Begins', first.join(', ') + ', …']]),
    make('p', { class: 'hint' }, 'Add a second image to see how similar they are.')];
}

/** @param {number} low @param {number} high */
const legend = (low, high) => make('div', { class: 'heat' }, make('span', {}, short(low)), make('span', { class: 'scale', 'aria-hidden': 'true' }), make('span', {}, short(high)));

const stages = ['queue', 'decode', 'preprocess', 'infer', 'postprocess'];

/**
 * Makes the bar of the times of a request.
 * @param {import('./server.js').Answer} a @param {number} elapsed milliseconds, as the page has measured
 * @returns {Node[]}
 */
export function timing(a, elapsed) {
  const { timing } = a, known = stages.reduce((total, stage) => total + (timing[stage] ?? 0), 0);
  /** @type {[string, number][]} */
  const parts = [...stages.map((stage) => /** @type {[string, number]} */ ([stage, timing[stage] ?? 0])),
    ['rest of the server', Math.max(0, timing.total - known)], ['network and browser', Math.max(0, elapsed - timing.total)]];
  const all = parts.reduce((total, [, v]) => total + v, 0) || 1;
  const strip = make('div', { class: 'stages', 'aria-hidden': 'true' });
  const list = make('ul', { class: 'times' });
  parts.forEach(([name, v], i) => {
    const part = make('span', { class: `stage-${i}` });
    part.style.width = `${(100 * v) / all}%`;
    strip.append(part);
    list.append(make('li', {}, make('span', { class: `dot stage-${i}`, 'aria-hidden': 'true' }), `${name} ${short(v)} ms`));
  });
  return [make('h3', {}, `${short(elapsed)} ms`), strip, list, make('p', { class: 'hint' }, `${a.model} ${a.version} on ${a.device}`)];
}

/**
 * Makes the table of similarities.
 * @param {number[][]} similarity @param {{name: string, image: HTMLCanvasElement}[]} images
 */
export function matrix(similarity, images) {
  const head = make('tr', {}, make('td'), ...images.map((image) => make('th', { scope: 'col', title: image.name }, image.image, make('span', { class: 'unseen' }, image.name))));
  const rows = similarity.map((row, i) => make('tr', {}, make('th', { scope: 'row' }, images[i].name), ...row.map((v) => {
    const cell = make('td', { class: v > 0.55 ? 'high' : '' }, v.toFixed(3));
    cell.style.background = `rgb(37 99 235 / ${Math.max(0, v) ** 2})`;
    return cell;
  })));
  return make('table', {}, make('caption', {}, `Cosine of the vectors of ${count(images.length, 'image')}`), make('thead', {}, head), make('tbody', {}, ...rows));
}
