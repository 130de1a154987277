// The place of the image on the page: zoom, and the part that is seen.

/**
 * @typedef {object} Content
 * @property {number} width in pixels of the image
 * @property {number} height
 * @property {(to: CanvasRenderingContext2D, unit: number) => void} draw unit: pixels of the image in one of the screen
 */

const largest = 40; // pixels of the screen for one of the image

/** A canvas that shows an image as large as it fits, or enlarged. */
export class View {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    /** @type {Content | null} */
    this.content = null;
    this.scale = 1; // pixels of the screen for one of the image
    this.x = 0; // of the image's corner, in pixels of the screen
    this.y = 0;
    this.fitted = true;
    this.pending = false;
    /** @type {(point: {x: number, y: number} | null) => void} called with the point of the image below the pointer */
    this.onPoint = () => {};
    /** @type {Map<number, {x: number, y: number}>} */
    this.pointers = new Map();
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.listen();
  }

  /** @param {Content | null} content @param {boolean} keep the zoom */
  show(content, keep) {
    this.content = content;
    if (!keep || this.fitted) this.fit();
    else this.redraw();
  }

  /** The largest scale at which the whole image is seen; small images are not enlarged beyond four times. */
  fitScale() {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    return this.content ? Math.min(w / this.content.width, h / this.content.height, 4) : 1;
  }

  fit() {
    this.fitted = true;
    this.scale = this.fitScale();
    this.place(0, 0);
  }

  /** Moves the image's corner, so that the image fills the view, or is in its middle where it is smaller. @param {number} x @param {number} y */
  place(x, y) {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    const width = this.scale * (this.content?.width ?? 0), height = this.scale * (this.content?.height ?? 0);
    this.x = width <= w ? (w - width) / 2 : Math.min(0, Math.max(w - width, x));
    this.y = height <= h ? (h - height) / 2 : Math.min(0, Math.max(h - height, y));
    this.canvas.style.touchAction = this.fitted ? 'pan-x pan-y' : 'none';
    this.redraw();
  }

  /** Zooms around a point of the view. @param {number} factor @param {{x: number, y: number}} [at] */
  zoom(factor, at = { x: this.canvas.clientWidth / 2, y: this.canvas.clientHeight / 2 }) {
    const lowest = this.fitScale(), before = this.scale;
    this.scale = Math.max(lowest, Math.min(Math.max(largest, lowest), before * factor));
    this.fitted = this.scale === lowest;
    const per = this.scale / before;
    this.place(at.x - (at.x - this.x) * per, at.y - (at.y - this.y) * per);
  }

  resize() {
    const ratio = devicePixelRatio;
    this.canvas.width = Math.round(this.canvas.clientWidth * ratio);
    this.canvas.height = Math.round(this.canvas.clientHeight * ratio);
    if (this.fitted) this.fit();
    else this.place(this.x, this.y);
    this.drawNow();
  }

  redraw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    this.pending = false;
    const ratio = devicePixelRatio, to = this.context;
    to.setTransform(1, 0, 0, 1, 0, 0);
    to.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.content) return;
    to.setTransform(ratio * this.scale, 0, 0, ratio * this.scale, ratio * this.x, ratio * this.y);
    to.save();
    to.beginPath();
    to.rect(0, 0, this.content.width, this.content.height); // objects may reach beyond the image
    to.clip();
    to.imageSmoothingEnabled = this.scale < 3;
    this.content.draw(to, 1 / this.scale);
    to.restore();
  }

  /** @param {{offsetX: number, offsetY: number}} event */
  pointOf(event) {
    const x = (event.offsetX - this.x) / this.scale, y = (event.offsetY - this.y) / this.scale;
    const c = this.content;
    return c && x >= 0 && y >= 0 && x < c.width && y < c.height ? { x, y } : null;
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener('wheel', (event) => {
      if (!this.content || !(event.ctrlKey || event.metaKey || document.activeElement === canvas)) return; // else the page scrolls
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 300), { x: event.offsetX, y: event.offsetY });
    }, { passive: false });
    canvas.addEventListener('dblclick', (event) => (this.fitted ? this.zoom(3, { x: event.offsetX, y: event.offsetY }) : this.fit()));
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    });
    for (const end of ['pointerup', 'pointercancel']) {
      canvas.addEventListener(end, (event) => this.pointers.delete(/** @type {PointerEvent} */ (event).pointerId));
    }
    canvas.addEventListener('pointermove', (event) => this.move(event));
    canvas.addEventListener('pointerleave', () => this.onPoint(null));
    canvas.addEventListener('keydown', (event) => this.press(event));
  }

  /** Drags with one pointer, and zooms with two. @param {PointerEvent} event */
  move(event) {
    this.onPoint(this.pointOf(event));
    const before = this.pointers.get(event.pointerId), now = { x: event.offsetX, y: event.offsetY };
    if (!before) return;
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    if (!other) {
      if (!this.fitted) this.place(this.x + now.x - before.x, this.y + now.y - before.y);
      return;
    }
    const far = (/** @type {{x: number, y: number}} */ p) => Math.max(1, Math.hypot(p.x - other.x, p.y - other.y));
    this.zoom(far(now) / far(before), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const step = 60;
    /** @type {Record<string, () => void>} */
    const keys = {
      '+': () => this.zoom(1.25), '=': () => this.zoom(1.25), '-': () => this.zoom(0.8), 0: () => this.fit(),
      ArrowLeft: () => this.place(this.x + step, this.y), ArrowRight: () => this.place(this.x - step, this.y),
      ArrowUp: () => this.place(this.x, this.y + step), ArrowDown: () => this.place(this.x, this.y - step),
    };
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey || (this.fitted && event.key.startsWith('Arrow'))) return;
    event.preventDefault();
    act();
  }
}
