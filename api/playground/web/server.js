// Requests to the server. All paths are relative to the page, so that it also works below a prefix of a proxy.

/**
 * @typedef {{key: string, value: string, from: string}} Assumption
 * @typedef {{name: string, dtype: string, shape: number[]}} Tensor
 * @typedef {{width: number, height: number, resize: string, color: string, layout: string, dtype: string, scale?: number, mean?: number[], std?: number[]}} ImageInput
 * @typedef {{passed: boolean, reason?: string, images: number, against?: string, accuracy?: number, served_accuracy?: number, agreement?: number}} Gate
 * @typedef {{version: string, state: string, error?: string, device: string, partly_cpu: boolean, warnings?: string[], image: ImageInput,
 *   inputs: Tensor[], outputs: Tensor[], max_batch: number, queue_depth: number, queue_limit: number, gate?: Gate}} Version
 * @typedef {{top_k?: number, score_threshold?: number, iou_threshold?: number, max_boxes?: number,
 *   class_thresholds?: {label: string, score: number}[]}} Defaults
 * @typedef {{name: string, default: boolean, required: boolean, unreadable?: string, state: string, task: string, labels?: string[],
 *   definition: string, exporter?: string, assumptions: Assumption[], versions: Version[], defaults?: Defaults,
 *   steps?: {name: string, model: string, of?: string}[]}} Model
 * @typedef {Record<string, any>} Prediction
 * @typedef {Record<string, number>} Timing
 * @typedef {{model: string, version: string, device: string, predictions: Prediction[], timing: Timing, similarity?: number[][]}} Answer
 */

const keyName = 'fovea-api-key';
const base = new URL('.', document.baseURI);

/** @param {string} path without a slash at its beginning */
export const address = (path) => new URL(path, base).href;

/** A response that is an error, or none. */
export class RequestError extends Error {
  /** @param {string} message @param {string} code @param {number} status 0: no response */
  constructor(message, code, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

export const key = {
  get: () => sessionStorage.getItem(keyName) ?? '',
  /** @param {string} value "" forgets it */
  set: (value) => (value ? sessionStorage.setItem(keyName, value) : sessionStorage.removeItem(keyName)),
};

/** @type {(message: string) => Promise<boolean>} asks for a key; false: none was given */
let askForKey = async () => false;
/** @type {Promise<boolean> | null} the question that is open */
let asking = null;

/** @param {(message: string) => Promise<boolean>} ask */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

/**
 * Sends a request, and asks for a key where one is needed.
 * @param {string} path
 * @param {RequestInit & {headers?: Record<string, string>, quiet?: boolean}} [init] quiet: does not ask
 * @returns {Promise<Response>}
 */
export async function send(path, init = {}) {
  for (;;) {
    const used = key.get();
    const response = await respond(path, used ? { ...init, headers: { ...init.headers, 'X-API-Key': used } } : init);
    if (response.ok) return response;
    const error = await errorOf(response);
    if (error.status !== 401 || init.quiet) throw error;
    if (key.get() !== used) continue; // another request has asked meanwhile
    asking ??= askForKey(used ? error.message : '').finally(() => (asking = null));
    if (!(await asking)) throw error;
  }
}

/** @param {string} path @param {RequestInit} init */
async function respond(path, init) {
  try {
    return await fetch(address(path), { credentials: 'same-origin', cache: 'no-store', ...init });
  } catch (err) {
    if (err instanceof DOMException && err.name === 'AbortError') throw err;
    throw new RequestError('The server does not respond.', 'unreachable', 0);
  }
}

/** @param {Response} response */
async function errorOf(response) {
  const text = await response.text();
  try {
    const { error, code } = JSON.parse(text);
    return new RequestError(String(error), String(code), response.status);
  } catch {
    return new RequestError(`The server answered ${response.status}.`, 'unknown', response.status);
  }
}

/** @returns {Promise<{default: string, models: Model[]}>} */
export const models = async () => (await send('v1/models')).json();

/** @param {string} name @returns {Promise<Model>} */
export const model = async (name) => (await send(`v1/models/${encodeURIComponent(name)}`)).json();

/**
 * Returns the path of predictions. Without a model it is that of the default model.
 * @param {string} name
 * @param {string} version "" for the served one
 */
export function predictPath(name, version) {
  if (!name) return 'predict';
  const model = `v1/models/${encodeURIComponent(name)}`;
  return version ? `${model}/versions/${encodeURIComponent(version)}/predict` : `${model}/predict`;
}

/**
 * @param {string} path
 * @param {Record<string, string | number>} parameters
 */
export function withQuery(path, parameters) {
  const query = new URLSearchParams(Object.entries(parameters).map(([name, value]) => [name, String(value)])).toString();
  return query ? `${path}?${query}` : path;
}

/** @param {Blob} image */
export const mediaType = (image) => (image.type.startsWith('image/') ? image.type : 'application/octet-stream');

/**
 * @param {string} path with its query
 * @param {Blob} image
 * @param {AbortSignal} signal
 * @returns {Promise<{answer: Answer, elapsed: number}>} elapsed: in milliseconds, as this page measures it
 */
export async function predict(path, image, signal) {
  const start = performance.now();
  const response = await send(path, { method: 'POST', body: image, signal, headers: { 'Content-Type': mediaType(image) } });
  return { answer: await response.json(), elapsed: performance.now() - start };
}

/**
 * @param {string} name
 * @param {File[]} images
 * @param {AbortSignal} signal
 * @returns {Promise<Answer>}
 */
export async function compare(name, images, signal) {
  const form = new FormData();
  for (const image of images) form.append('image', image, image.name);
  return (await send(`v1/models/${encodeURIComponent(name)}/compare`, { method: 'POST', body: form, signal })).json();
}

/** Returns the text of the metrics. It does not ask for a key. */
export const metrics = async () => (await send('metrics', { quiet: true })).text();
