// Elements of the page.

/**
 * Returns the element of the page with an id.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function get(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`the page has no ${type.name} #${id}`);
  return element;
}

/**
 * Makes an element. An attribute that is a function is a listener; one that is false or undefined is left out.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean | undefined | ((event: any) => void)>} [attributes]
 * @param {...(Node | string | number | null)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((c) => c !== null).map((c) => (typeof c === 'number' ? String(c) : c)));
  return element;
}

/**
 * Makes a bar whose length is a share of its place.
 * @param {number} share from 0 to 1
 * @param {string} [color]
 */
export function bar(share, color) {
  const fill = make('span', { class: 'fill' });
  fill.style.width = `${100 * Math.max(0, Math.min(1, share))}%`;
  if (color) fill.style.background = color;
  return make('span', { class: 'meter', 'aria-hidden': 'true' }, fill);
}

/**
 * Makes a table of names and values. Values without content are left out.
 * @param {[string, Node | string | number | null | undefined][]} rows
 */
export function facts(rows) {
  const list = make('dl', { class: 'facts' });
  for (const [name, value] of rows) {
    if (value !== null && value !== undefined && value !== '') list.append(make('dt', {}, name), make('dd', {}, value));
  }
  return list;
}

/**
 * Formats a number with at most three significant digits after the point.
 * @param {number} v
 */
export function short(v) {
  if (!Number.isFinite(v)) return '–';
  const size = Math.abs(v);
  return v.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

/** @param {number} n @param {string} one @param {string} [many] */
export const count = (n, one, many = one + 's') => `${n} ${n === 1 ? one : many}`;

/**
 * Has the browser save a file.
 * @param {Blob} content
 * @param {string} name
 */
export function save(content, name) {
  const address = URL.createObjectURL(content);
  make('a', { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
