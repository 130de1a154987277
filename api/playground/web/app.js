// The playground: one page that sends images to this server and draws the answers.
import { camera } from './camera.js';
import { card, taskName } from './card.js';
import { snippets } from './code.js';
import { get, make, save } from './dom.js';
import { Items } from './items.js';
import { Live } from './live.js';
import { drawn, paint } from './paint.js';
import { answer, classFilter, matrix, sliders, timing } from './panels.js';
import { inWords, listed, objectAt, parameters, readout, shownParameters, shownPart, visible } from './prediction.js';
import * as server from './server.js';
import { View } from './view.js';

/**
 * @typedef {import('./items.js').Item} Item
 * @typedef {import('./prediction.js').Shown} Shown
 */

const modelChoice = get('model', HTMLSelectElement), versionChoice = get('version', HTMLSelectElement);
const sheet = get('sheet', HTMLUListElement), notice = get('notice', HTMLElement);

/** @type {server.Model | null} the chosen model, null if it cannot be read */
let model = null;
/** @type {Item | null} */
let selected = null;
let hover = -1;
/** @type {Shown} */
let shown = initial('');
/** The query of the predictions on the page. */
let asked = '';
/** The lowest score that was asked for, with objects. */
let floor = 0;
let later = 0;

const items = new Items(changed);
const view = new View(get('canvas', HTMLCanvasElement));
new Live(get('live', HTMLDetailsElement), get('live-body', HTMLElement), () => model?.name ?? '');

/** What is shown at first of a task's predictions. @param {string} task @returns {Shown} */
function initial(task) {
  return { score: null, iou: null, top: null, visibility: 0.5, opacity: ({ depth: 0.85, image: 1 })[task] ?? 0.5, hidden: new Set() };
}

/** @param {string} text "" removes it */
function tell(text) {
  notice.textContent = text;
  notice.hidden = text === '';
}

// Models

async function loadModels() {
  try {
    const list = await server.models();
    tell('');
    listModels(list.models);
    const wanted = decodeURIComponent(location.hash.slice(1));
    const usable = list.models.filter((m) => m.state === 'ready' && m.task !== 'none');
    const first = usable.find((m) => m.name === wanted) ?? usable.find((m) => m.name === list.default) ?? usable[0];
    if (first) modelChoice.value = first.name;
    else tell('No model that takes images is ready. The log and /ready say why.');
    if (list.models.some((m) => m.state === 'loading')) setTimeout(() => void refreshModels(), 2000);
  } catch (err) {
    if (!(err instanceof server.RequestError)) throw err;
    modelChoice.replaceChildren(make('option', { value: '' }, 'default model'));
    if (err.status !== 403) tell(err.message);
  }
  await chooseModel();
}

/** @param {server.Model[]} models */
function listModels(models) {
  modelChoice.replaceChildren(...models.map((m) => {
    const usable = m.state === 'ready' && m.task !== 'none';
    return make('option', { value: m.name, disabled: !usable }, `${m.name} (${m.state === 'ready' ? (usable ? taskName(m.task) : 'tensors only') : m.state})`);
  }));
}

/** Lists the models again until none is loading. */
async function refreshModels() {
  const chosen = modelChoice.value;
  if (!chosen) return loadModels();
  const { models } = await server.models();
  listModels(models);
  modelChoice.value = chosen;
  if (models.some((m) => m.state === 'loading')) setTimeout(() => void refreshModels(), 2000);
}

async function chooseModel() {
  const name = modelChoice.value;
  /** @type {server.Model | null} */
  let found = null;
  try {
    if (name) found = await server.model(name);
  } catch (err) {
    if (!(err instanceof server.RequestError)) throw err;
    tell(err.message);
  }
  if (name !== modelChoice.value) return; // another one was chosen meanwhile
  model = found;
  const ready = (model?.versions ?? []).filter((v) => v.state === 'ready').map((v) => v.version).reverse();
  versionChoice.replaceChildren(make('option', { value: '' }, 'latest'), ...ready.map((v) => make('option', { value: v }, v)));
  get('card-body', HTMLElement).replaceChildren(...card(model));
  shown = initial(model?.task ?? '');
  predictAll();
}

modelChoice.addEventListener('change', () => {
  history.replaceState(null, '', '#' + encodeURIComponent(modelChoice.value));
  void chooseModel();
});
versionChoice.addEventListener('change', () => predictAll());
get('choice', HTMLFormElement).addEventListener('submit', (event) => event.preventDefault());

// Predictions

function query() {
  const list = parameters(model, shown);
  floor = list.score_threshold ?? 0;
  return server.withQuery(server.predictPath(modelChoice.value, versionChoice.value), list);
}

/** Predicts all images again, as the model or a parameter has changed. */
function predictAll() {
  asked = query();
  for (const item of items.list) item.state = 'waiting';
  get('similarity', HTMLElement).hidden = true;
  showSelected(true);
  drawSheet();
  void items.predict(items.list, asked, true).then(compareAll);
}

/** @param {File[]} files */
async function addFiles(files) {
  if (files.length === 0) return;
  if (!asked) asked = query();
  const added = await items.add(files);
  select(added[0]);
  drawSheet();
  await items.predict(added, asked, false);
  await compareAll();
}

/** @param {Item} item */
function changed(item) {
  drawThumb(item);
  if (item === selected) showSelected(true);
  else summarize();
}

const mostCompared = 16;

async function compareAll() {
  const section = get('similarity', HTMLElement), compared = items.list.filter((i) => i.state === 'done').slice(0, mostCompared);
  section.hidden = true;
  if (model?.task !== 'embedding' || compared.length < 2) return;
  try {
    const { similarity } = await server.compare(model.name, compared.map((i) => i.file), items.running.signal);
    if (!similarity) return;
    get('matrix', HTMLElement).replaceChildren(matrix(similarity, compared.map((i) => ({ name: i.file.name, image: thumb(i, 56) }))));
    section.hidden = false;
    drawCode();
  } catch (err) {
    if (!(err instanceof DOMException)) tell(err instanceof Error ? err.message : String(err));
  }
}

/** @param {Partial<Shown>} change */
function setShown(change) {
  shown = { ...shown, ...change };
  const again = change.iou !== undefined || (change.score !== undefined && change.score !== null && change.score < floor);
  clearTimeout(later);
  if (again) later = setTimeout(predictAll, 250);
  draw();
  drawFilter();
  drawAnswer();
  summarize();
  drawCode();
  clearTimeout(thumbsLater);
  thumbsLater = setTimeout(() => items.list.forEach(drawThumb), 150);
}
let thumbsLater = 0;

// The selected image

/** @param {Item | null} item */
function select(item) {
  selected = item;
  hover = -1;
  showSelected(false);
  for (const button of sheet.querySelectorAll('button.thumb')) button.setAttribute('aria-current', String(Number(button.getAttribute('data-id')) === item?.id));
}

/** @param {Item} item @returns {import('./paint.js').Scene} */
function scene(item) {
  const [width, height] = items.size(item);
  return { bitmap: item.bitmap, width, height, prediction: item.prediction, decoded: item.decoded, model, shown, hover };
}

/** @param {boolean} keep the zoom */
function showSelected(keep) {
  get('empty', HTMLElement).hidden = selected !== null;
  const done = selected?.state === 'done';
  get('save-image', HTMLButtonElement).disabled = !done;
  get('save-json', HTMLButtonElement).disabled = !done;
  get('clear', HTMLButtonElement).disabled = selected === null;
  if (!selected) view.show(null, false);
  else {
    const item = selected, [width, height] = items.size(item);
    view.show({ width, height, draw: (to, unit) => paint(to, { ...scene(item), hover }, unit) }, keep);
  }
  drawControls();
  drawAnswer();
  drawTiming();
  drawCode();
  summarize();
}

function draw() {
  view.redraw();
}

function drawControls() {
  const place = get('controls', HTMLElement), p = selected?.prediction && listed(selected.prediction);
  if (!p) return place.replaceChildren();
  const focused = document.activeElement?.id ?? '';
  place.replaceChildren(...sliders(p, model, shown, setShown), make('div', { id: 'filter' }));
  if (focused && place.querySelector('#' + CSS.escape(focused))) get(focused, HTMLElement).focus();
  drawFilter();
}

function drawFilter() {
  const place = document.getElementById('filter'), p = selected?.prediction && listed(selected.prediction);
  if (!place || !p) return;
  const focused = document.activeElement?.getAttribute('data-class') ?? null;
  const filter = classFilter(p, model, shown, (hidden) => setShown({ hidden }));
  place.replaceChildren(...(filter ? [filter] : []));
  if (focused !== null) /** @type {HTMLElement | null} */ (place.querySelector(`[data-class="${CSS.escape(focused)}"]`))?.focus();
}

function drawAnswer() {
  const place = get('answer', HTMLElement);
  if (selected?.state === 'failed') place.replaceChildren(make('p', { class: 'error' }, selected.error));
  else if (!selected?.prediction) place.replaceChildren();
  else place.replaceChildren(...answer(selected.prediction, model, shown, setHover));
}

function drawTiming() {
  const place = get('timing', HTMLElement);
  if (selected?.answer) place.replaceChildren(...timing(selected.answer, selected.elapsed));
  else place.replaceChildren();
}

/** @param {number} number of an object; -1: none */
function setHover(number) {
  if (number === hover) return;
  hover = number;
  for (const button of document.querySelectorAll('.object')) button.classList.toggle('on', Number(button.getAttribute('data-number')) === number);
  draw();
}

view.onPoint = (/** @type {{x: number, y: number} | null} */ point) => {
  const line = get('readout', HTMLElement), item = selected;
  if (!point || !item) {
    line.textContent = '';
    return setHover(-1);
  }
  const [width, height] = items.size(item), p = item.prediction;
  const at = `x ${Math.floor(point.x)}, y ${Math.floor(point.y)}`;
  const value = p && item.decoded ? readout(p, item.decoded, point.x / width, point.y / height) : '';
  line.textContent = value ? `${at}: ${value}` : at;
  const objects = p && listed(p);
  if (objects?.boxes || objects?.lines) {
    setHover(objectAt(visible(objects, model, shown), point.x, point.y));
    if (hover >= 0) document.querySelector(`.object[data-number="${hover}"]`)?.scrollIntoView({ block: 'nearest' });
  }
};

let said = '';

/** Says the result, also to those who do not see it. */
function summarize() {
  const line = get('summary', HTMLElement), failed = items.list.filter((i) => i.state === 'failed').length;
  const words = selected ? inWordsOf(selected) : 'No image yet.';
  const many = items.list.length > 1 ? ` ${items.list.length} images${failed ? `, ${failed} failed` : ''}.` : '';
  const blind = selected?.state === 'done' && !selected.bitmap ? ' This browser cannot show the image itself.' : '';
  const text = selected ? `${selected.file.name}: ${words}${words.endsWith('…') ? '' : '.'}${blind}${many}` : words;
  if (said !== text) line.textContent = said = text;
  get('canvas', HTMLCanvasElement).setAttribute('aria-label', selected ? `${selected.file.name}: ${words}` : 'No image yet');
}

/** @param {Item} item */
function inWordsOf(item) {
  if (item.state === 'failed') return 'failed';
  if (item.state === 'waiting' || !item.prediction) return 'waiting for the answer';
  return inWords(item.prediction, model, shown);
}

// The contact sheet

/** @param {Item} item @param {number} side pixels of the screen */
function thumb(item, side) {
  const [width, height] = items.size(item), scale = Math.min(side / width, side / height), ratio = Math.max(1, devicePixelRatio);
  const canvas = make('canvas', { 'aria-hidden': 'true', width: Math.max(1, Math.round(width * scale * ratio)), height: Math.max(1, Math.round(height * scale * ratio)) });
  const to = canvas.getContext('2d');
  to?.scale(canvas.width / width, canvas.height / height);
  if (to) paint(to, { ...scene(item), hover: -1 }, 0.6 / scale);
  canvas.style.width = `${width * scale}px`;
  return canvas;
}

function drawSheet() {
  sheet.hidden = items.list.length < 2;
  if (sheet.hidden) return sheet.replaceChildren();
  sheet.replaceChildren(...items.list.map((item) => make('li', { 'data-item': item.id })));
  items.list.forEach(drawThumb);
}

/** @param {Item} item */
function drawThumb(item) {
  const place = sheet.querySelector(`[data-item="${item.id}"]`);
  if (!place) return;
  const had = place.contains(document.activeElement);
  const button = make('button', { type: 'button', class: `thumb ${item.state}`, 'data-id': item.id, 'aria-current': String(item === selected), click: () => select(item) },
    thumb(item, 132), make('span', { class: 'name' }, item.file.name), make('span', { class: item.state === 'failed' ? 'error' : 'hint' }, item.state === 'failed' ? item.error : inWordsOf(item)));
  place.replaceChildren(button);
  if (had) button.focus();
}

// Code, and what is saved

function drawCode() {
  const place = get('code', HTMLElement);
  const similar = !get('similarity', HTMLElement).hidden && model, first = selected?.file ?? new File([], 'IMAGE.jpg', { type: 'image/jpeg' });
  const request = {
    path: similar ? `v1/models/${encodeURIComponent(similar.name)}/compare` : server.predictPath(modelChoice.value, versionChoice.value),
    parameters: similar ? {} : shownParameters(model, shown),
    images: similar ? items.list.filter((i) => i.state === 'done').slice(0, mostCompared).map((i) => i.file) : [first],
    keyed: server.key.get() !== '',
  };
  place.replaceChildren(...snippets(request).map(([language, text]) => {
    const name = `code-${language.toLowerCase()}`, button = make('button', { type: 'button', 'aria-label': `Copy ${language}`, click: () => void copy(text, button) }, 'Copy');
    return make('section', {}, make('div', { class: 'bar' }, make('h3', {}, language), make('span', { class: 'gap' }), button),
      make('pre', { id: name, class: 'scroll', tabindex: 0, 'aria-label': `${language} code` }, text));
  }));
}

/** @param {string} text @param {HTMLButtonElement} button */
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
  } catch { // only pages from a secure origin may, or the user has not allowed it
    const block = button.closest('section')?.querySelector('pre');
    if (block) getSelection()?.selectAllChildren(block);
    button.textContent = 'Selected';
  }
  setTimeout(() => (button.textContent = 'Copy'), 1500);
}

/** The name of an image without its ending. @param {Item} item */
const stem = (item) => item.file.name.replace(/\.[^.]*$/, '') || 'image';

get('save-image', HTMLButtonElement).addEventListener('click', async () => {
  if (!selected?.prediction) return;
  const item = selected, made = item.decoded?.image;
  let canvas;
  if (made && shown.opacity === 1) {
    canvas = new OffscreenCanvas(made.width, made.height);
    canvas.getContext('2d')?.drawImage(made, 0, 0);
  } else canvas = drawn(scene(item));
  save(await canvas.convertToBlob({ type: 'image/png' }), `${stem(item)}.${item.answer?.model ?? 'prediction'}.png`);
});

get('save-json', HTMLButtonElement).addEventListener('click', () => {
  const item = selected, a = item?.answer;
  if (!item || !a) return;
  const text = JSON.stringify({ ...a, predictions: a.predictions.map((p) => shownPart(p, model, shown)) }, null, 1);
  save(new Blob([text], { type: 'application/json' }), `${stem(item)}.${a.model}.json`);
});

// Images from files, the clipboard, the pointer and the camera

const fileInput = get('file', HTMLInputElement), captureInput = get('capture', HTMLInputElement);
for (const input of [fileInput, captureInput]) {
  input.addEventListener('change', () => {
    const files = [...(input.files ?? [])];
    input.value = ''; // so that the same file can be chosen again
    void addFiles(files);
  });
}
get('choose', HTMLButtonElement).addEventListener('click', () => fileInput.click());
get('camera', HTMLButtonElement).addEventListener('click', async () => {
  if (!navigator.mediaDevices) return captureInput.click(); // not a secure origin
  try {
    const photo = await camera();
    if (photo) await addFiles([photo]);
  } catch (err) {
    tell(`The camera cannot be used: ${err instanceof Error ? err.message : err}`);
  }
});
get('clear', HTMLButtonElement).addEventListener('click', () => {
  items.clear();
  items.running = new AbortController();
  get('similarity', HTMLElement).hidden = true;
  select(null);
  drawSheet();
  get('choose', HTMLButtonElement).focus();
});

/** @param {boolean} on */
const dropping = (on) => document.body.classList.toggle('dropping', on);
document.addEventListener('dragover', (event) => {
  event.preventDefault();
  dropping(true);
});
document.addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) dropping(false);
});
document.addEventListener('drop', (event) => {
  event.preventDefault();
  dropping(false);
  void addFiles([...(event.dataTransfer?.files ?? [])]);
});
document.addEventListener('paste', (event) => void addFiles([...(event.clipboardData?.files ?? [])]));

get('zoom-in', HTMLButtonElement).addEventListener('click', () => view.zoom(1.5));
get('zoom-out', HTMLButtonElement).addEventListener('click', () => view.zoom(1 / 1.5));
get('zoom-fit', HTMLButtonElement).addEventListener('click', () => view.fit());

// Keys

const keyDialog = get('key-dialog', HTMLDialogElement), keyInput = get('key', HTMLInputElement);

/** @param {string} message @returns {Promise<boolean>} whether a key was given */
function askForKey(message) {
  get('key-message', HTMLElement).textContent = message ? `The server refused this key: ${message}.` : 'Requests to this server need an API key.';
  get('key-forget', HTMLButtonElement).hidden = server.key.get() === '';
  keyInput.value = '';
  keyDialog.returnValue = '';
  keyDialog.showModal();
  return new Promise((resolve) => {
    keyDialog.addEventListener('close', () => {
      const used = keyDialog.returnValue === 'use' && keyInput.value.trim() !== '';
      if (used) server.key.set(keyInput.value.trim());
      if (keyDialog.returnValue === 'forget') server.key.set('');
      resolve(used);
    }, { once: true });
  });
}

server.onKeyNeeded(askForKey);
get('key-button', HTMLButtonElement).addEventListener('click', async () => {
  if (await askForKey('')) await loadModels();
});

void loadModels();
