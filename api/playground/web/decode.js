// Decoders of what predictions contain: base64, PNG, run lengths; and the colors of classes and numbers.

/** @param {string} text @returns {Uint8Array<ArrayBuffer>} */
export function bytesOf(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** @param {Uint8Array<ArrayBuffer>} compressed with zlib's header */
async function inflate(compressed) {
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Decodes a PNG with one channel or a palette to its numbers, which a canvas would turn into colors of 8 bits. Not interlaced.
 * @param {Uint8Array<ArrayBuffer>} file
 * @returns {Promise<{width: number, height: number, values: Uint8Array | Uint16Array}>}
 */
export async function decodePNG(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  let width = 0, height = 0, depth = 0;
  const parts = [];
  for (let at = 8; at + 12 <= file.length;) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...file.subarray(at + 4, at + 8));
    if (type === 'IHDR') {
      [width, height, depth] = [view.getUint32(at + 8), view.getUint32(at + 12), file[at + 16]];
      if ((file[at + 17] !== 0 && file[at + 17] !== 3) || file[at + 20] !== 0) throw new Error('the PNG has no single channel, or is interlaced');
    } else if (type === 'IDAT') parts.push(file.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  const rows = await inflate(new Uint8Array(await new Blob(parts).arrayBuffer()));
  const perRow = Math.ceil((width * depth) / 8);
  if (rows.length < height * (perRow + 1)) throw new Error('the PNG is truncated');
  const plain = unfilter(rows, perRow, height, Math.max(1, depth / 8));
  if (depth === 8) return { width, height, values: plain };
  const values = depth === 16 ? new Uint16Array(width * height) : new Uint8Array(width * height);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (depth === 16) values[i] = (plain[y * perRow + 2 * x] << 8) | plain[y * perRow + 2 * x + 1];
      else values[i] = (plain[y * perRow + ((x * depth) >> 3)] >> (8 - depth - ((x * depth) & 7))) & ((1 << depth) - 1);
    }
  }
  return { width, height, values };
}

/**
 * Undoes the filters of a PNG's rows (PNG specification, section 9).
 * @param {Uint8Array} rows
 * @param {number} perRow bytes
 * @param {number} height
 * @param {number} step bytes of a pixel
 */
function unfilter(rows, perRow, height, step) {
  const out = new Uint8Array(perRow * height);
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (perRow + 1)], from = y * (perRow + 1) + 1, to = y * perRow;
    for (let x = 0; x < perRow; x++) {
      const left = x >= step ? out[to + x - step] : 0;
      const up = y > 0 ? out[to + x - perRow] : 0;
      const corner = x >= step && y > 0 ? out[to + x - perRow - step] : 0;
      out[to + x] = rows[from + x] + predicted(filter, left, up, corner);
    }
  }
  return out;
}

/** @param {number} filter @param {number} left @param {number} up @param {number} corner */
function predicted(filter, left, up, corner) {
  switch (filter) {
    case 1: return left;
    case 2: return up;
    case 3: return (left + up) >> 1;
    case 4: {
      const p = left + up - corner, a = Math.abs(p - left), b = Math.abs(p - up), c = Math.abs(p - corner);
      return a <= b && a <= c ? left : b <= c ? up : corner;
    }
  }
  return 0;
}

/**
 * Decodes COCO's compressed run lengths (rleFrString of cocodataset/cocoapi, common/maskApi.c): pixels outside and inside the mask
 * in turn, down the columns.
 * @param {string} counts
 * @returns {number[]}
 */
export function runLengths(counts) {
  /** @type {number[]} */
  const runs = [];
  for (let i = 0; i < counts.length;) {
    let value = 0, shift = 0, more = true;
    while (more) {
      const c = counts.charCodeAt(i++) - 48;
      value |= (c & 31) << shift;
      more = (c & 32) !== 0;
      shift += 5;
      if (!more && c & 16 && shift < 32) value |= -1 << shift;
    }
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return runs;
}

/**
 * @typedef {{x: number, y: number, width: number, height: number, inside: Uint8Array}} Mask the part of an image around an object, row by
 *   row: 1 where the object is
 * @param {{size: [number, number], counts: string}} mask
 * @returns {Mask}
 */
export function decodeMask(mask) {
  const [rows, columns] = mask.size, runs = runLengths(mask.counts);
  let left = columns, right = 0, top = rows, bottom = 0;
  eachRun(runs, rows, (x, from, to) => {
    left = Math.min(left, x), right = Math.max(right, x + 1), top = Math.min(top, from), bottom = Math.max(bottom, to);
  });
  const width = Math.max(0, right - left), height = Math.max(0, bottom - top);
  const inside = new Uint8Array(width * height);
  eachRun(runs, rows, (x, from, to) => {
    for (let y = from; y < to; y++) inside[(y - top) * width + x - left] = 1;
  });
  return { x: left, y: top, width, height, inside };
}

/**
 * Calls f with each part of a mask that is in one column.
 * @param {number[]} runs
 * @param {number} rows
 * @param {(x: number, from: number, to: number) => void} f
 */
function eachRun(runs, rows, f) {
  for (let i = 0, at = 0; i < runs.length; at += runs[i], i++) {
    if (i % 2 === 0) continue;
    for (let from = at, end = at + runs[i]; from < end;) {
      const x = Math.floor(from / rows), to = Math.min(end, (x + 1) * rows);
      f(x, from - x * rows, to - x * rows);
      from = to;
    }
  }
}

/** @typedef {[number, number, number]} Color red, green, blue */

/**
 * Returns the color of a class: that of the server's own drawings, with hues in steps of the golden ratio.
 * @param {number} number
 * @returns {Color}
 */
export function classColor(number) {
  const hue = (number * (Math.sqrt(5) - 1)) / 2;
  const channel = (/** @type {number} */ offset) => {
    const h = (hue + offset) % 1;
    return Math.floor(255 * Math.max(0, Math.min(1, Math.abs(6 * h - 3) - 1)));
  };
  return [channel(0), channel(2 / 3), channel(1 / 3)];
}

/** @param {Color} color @param {number} [alpha] */
export const css = ([r, g, b], alpha = 1) => (alpha === 1 ? `rgb(${r}, ${g}, ${b})` : `rgba(${r}, ${g}, ${b}, ${alpha})`);

/** Returns black or white, whichever is easier to read on a color: by its luma of ITU-R BT.601. @param {Color} color */
export const contrast = ([r, g, b]) => (299 * r + 587 * g + 114 * b > 127_000 ? '#000' : '#fff');

/** matplotlib's map inferno at even distances, as in the server's own drawings. @type {Color[]} */
const inferno = [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]];

/**
 * Returns the color of a number from 0 to 1.
 * @param {number} v
 * @returns {Color}
 */
export function heatColor(v) {
  const place = Math.max(0, Math.min(1, v)) * (inferno.length - 1);
  const i = Math.min(Math.floor(place), inferno.length - 2), part = place - i;
  const mix = (/** @type {0 | 1 | 2} */ k) => Math.round(inferno[i][k] + part * (inferno[i + 1][k] - inferno[i][k]));
  return [mix(0), mix(1), mix(2)];
}

/**
 * @typedef {{width: number, height: number, values: Float32Array, low: number, high: number}} NumberMap
 * @param {{width: number, height: number, scale: number, offset: number, png?: string, raw?: string}} encoded
 * @returns {Promise<NumberMap>}
 */
export async function decodeNumbers(encoded) {
  let values;
  if (encoded.raw !== undefined) values = new Float32Array(bytesOf(encoded.raw).buffer);
  else values = Float32Array.from((await decodePNG(bytesOf(encoded.png ?? ''))).values, (v) => encoded.offset + encoded.scale * v);
  let low = Infinity, high = -Infinity;
  for (const v of values) low = Math.min(low, v), high = Math.max(high, v);
  return { width: encoded.width, height: encoded.height, values, low, high };
}

/**
 * Returns the number of a vector that is a list or base64.
 * @param {number[] | string} vector
 * @returns {ArrayLike<number>}
 */
export const decodeVector = (vector) => (typeof vector === 'string' ? new Float32Array(bytesOf(vector).buffer) : vector);
