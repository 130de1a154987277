// The images on the page, and their predictions.
import { decodeImage } from './orientation.js';
import { decode, sizeOf } from './prediction.js';
import { predict, RequestError } from './server.js';

/**
 * @typedef {object} Item an image and its prediction
 * @property {number} id
 * @property {File} file
 * @property {ImageBitmap | null} bitmap turned as its EXIF orientation says, as the server does; null: the browser cannot decode it
 * @property {'waiting' | 'done' | 'failed'} state
 * @property {string} error
 * @property {import('./server.js').Answer | null} answer
 * @property {import('./server.js').Prediction | null} prediction
 * @property {import('./prediction.js').Decoded | null} decoded
 * @property {number} elapsed milliseconds from the request to the response
 */

const parallel = 4; // requests at a time

/** The images. They are predicted in order, some at a time. */
export class Items {
  /** @param {(item: Item) => void} changed is called when an item has a prediction or an error */
  constructor(changed) {
    this.changed = changed;
    /** @type {Item[]} */
    this.list = [];
    this.nextId = 1;
    this.running = new AbortController();
  }

  /** @param {File[]} files @returns {Promise<Item[]>} those that were added */
  async add(files) {
    const added = await Promise.all(files.map((file) => this.open(file)));
    this.list.push(...added);
    return added;
  }

  /** @param {File} file @returns {Promise<Item>} */
  async open(file) {
    const id = this.nextId++;
    let bitmap = null;
    try {
      bitmap = await decodeImage(file);
    } catch {
      // the server says what is wrong with it, or knows a format that this browser does not
    }
    return { id, file, bitmap, state: 'waiting', error: '', answer: null, prediction: null, decoded: null, elapsed: 0 };
  }

  clear() {
    this.running.abort();
    for (const item of this.list) item.bitmap?.close();
    this.list = [];
  }

  /** @param {Item} item */
  remove(item) {
    this.list = this.list.filter((other) => other !== item);
    item.bitmap?.close();
  }

  /** @param {Item} item @returns {[number, number]} width and height as the server has them */
  size(item) {
    return (item.prediction && sizeOf(item.prediction)) ?? [item.bitmap?.width ?? 640, item.bitmap?.height ?? 480];
  }

  /**
   * Predicts images, which stops earlier calls with again.
   * @param {Item[]} items @param {string} path with its query @param {boolean} again
   */
  async predict(items, path, again) {
    if (again) {
      this.running.abort();
      this.running = new AbortController();
    }
    const { signal } = this.running, queue = [...items];
    const work = async () => {
      for (let item = queue.shift(); item && !signal.aborted; item = queue.shift()) await this.predictOne(item, path, signal);
    };
    await Promise.all(Array.from({ length: parallel }, work));
  }

  /** @param {Item} item @param {string} path @param {AbortSignal} signal */
  async predictOne(item, path, signal) {
    try {
      const { answer, elapsed } = await predict(path, item.file, signal);
      const prediction = answer.predictions[0], decoded = await decode(prediction);
      if (signal.aborted) return;
      Object.assign(item, { state: 'done', error: '', answer, prediction, decoded, elapsed });
    } catch (err) {
      if (signal.aborted) return;
      const message = err instanceof RequestError ? err.message : `The answer cannot be shown: ${err instanceof Error ? err.message : err}`;
      Object.assign(item, { state: 'failed', error: message, answer: null, prediction: null, decoded: null });
    }
    this.changed(item);
  }
}
