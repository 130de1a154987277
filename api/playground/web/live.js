// The server's state, from its metrics.
import { bar, facts, make, short } from './dom.js';
import { metrics } from './server.js';

/**
 * @typedef {{name: string, labels: Record<string, string>, value: number}} Sample
 * @typedef {{time: number, samples: Sample[]}} Scrape
 */

/**
 * Parses metrics in the text format of Prometheus.
 * @param {string} text
 * @returns {Sample[]}
 */
export function parse(text) {
  const list = [];
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([^ ]+)/.exec(line);
    if (!match) continue;
    /** @type {Record<string, string>} */
    const labels = {};
    for (const [, name, value] of (match[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[name] = value.replaceAll(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c));
    }
    list.push({ name: match[1], labels, value: match[3] === '+Inf' ? Infinity : Number(match[3]) });
  }
  return list;
}

/** @param {Sample[]} samples @param {string} name @param {Record<string, string>} [labels] */
const select = (samples, name, labels = {}) =>
  samples.filter((s) => s.name === name && Object.entries(labels).every(([key, value]) => s.labels[key] === value));

/** @param {Sample[]} samples @param {string} name @param {Record<string, string>} [labels] */
const sum = (samples, name, labels) => select(samples, name, labels).reduce((total, s) => total + s.value, 0);

/**
 * Estimates a quantile of what a histogram has counted between two scrapes, as Prometheus' histogram_quantile does; NaN for nothing.
 * @param {Sample[]} before @param {Sample[]} now @param {string} name @param {number} q @param {Record<string, string>} [labels]
 */
export function quantile(before, now, name, q, labels) {
  /** @type {Map<number, number>} */
  const counts = new Map();
  for (const [list, sign] of /** @type {[Sample[], number][]} */ ([[now, 1], [before, -1]])) {
    for (const s of select(list, name + '_bucket', labels)) {
      const bound = s.labels.le === '+Inf' ? Infinity : Number(s.labels.le);
      counts.set(bound, (counts.get(bound) ?? 0) + sign * s.value);
    }
  }
  const bounds = [...counts.keys()].sort((a, b) => a - b), rank = q * (counts.get(Infinity) ?? 0);
  if (!(rank > 0)) return NaN;
  for (let i = 0, from = 0, below = 0; i < bounds.length; i++) {
    const upTo = counts.get(bounds[i]) ?? 0;
    if (upTo >= rank) return bounds[i] === Infinity ? from : from + (bounds[i] - from) * ((rank - below) / (upTo - below));
    from = bounds[i], below = upTo;
  }
  return NaN;
}

const interval = 2000, window = 10; // milliseconds between scrapes; scrapes that rates are computed over

/** Shows the state while a part of the page is open and seen. */
export class Live {
  /** @param {HTMLDetailsElement} details @param {HTMLElement} body @param {() => string} model the name of the chosen model */
  constructor(details, body, model) {
    this.details = details;
    this.body = body;
    this.model = model;
    /** @type {Scrape[]} */
    this.scrapes = [];
    this.timer = 0;
    details.addEventListener('toggle', () => this.wake());
    document.addEventListener('visibilitychange', () => this.wake());
  }

  wake() {
    clearTimeout(this.timer);
    if (this.details.open && !document.hidden) void this.scrape();
  }

  async scrape() {
    try {
      this.scrapes.push({ time: performance.now() / 1000, samples: parse(await metrics()) });
      this.scrapes.splice(0, this.scrapes.length - window);
      this.draw();
    } catch (err) {
      this.scrapes = [];
      const reason = err instanceof Error ? err.message : String(err);
      this.body.replaceChildren(make('p', {}, `The metrics cannot be read: ${reason}`));
    }
    clearTimeout(this.timer);
    if (this.details.open && !document.hidden) this.timer = setTimeout(() => void this.scrape(), interval);
  }

  draw() {
    const now = this.scrapes[this.scrapes.length - 1], before = this.scrapes[0], seconds = Math.max(1e-9, now.time - before.time);
    const parts = [...this.server(before, now, seconds), ...gpus(now.samples)];
    this.body.replaceChildren(...parts, make('p', { class: 'hint' }, `From /metrics; rates of the last ${Math.round(seconds)} s.`));
  }

  /** @param {Scrape} before @param {Scrape} now @param {number} seconds */
  server(before, now, seconds) {
    const gateway = select(now.samples, 'fovea_gateway_replicas').length > 0, prefix = gateway ? 'fovea_gateway' : 'fovea';
    const rise = (/** @type {string} */ name, /** @type {Record<string, string>} */ labels = {}) =>
      sum(now.samples, name, labels) - sum(before.samples, name, labels);
    const milliseconds = (/** @type {number} */ q) => {
      const v = 1000 * quantile(before.samples, now.samples, `${prefix}_request_duration_seconds`, q);
      return Number.isNaN(v) ? '–' : short(v) + ' ms';
    };
    const batches = rise('fovea_batch_size_count'), name = this.model();
    const ready = select(now.samples, 'fovea_gateway_replicas', { state: 'ready' })[0];
    return [facts([
      ['Requests', `${short(rise(`${prefix}_requests_total`) / seconds)} per second`],
      ['Latency', `p50 ${milliseconds(0.5)}, p99 ${milliseconds(0.99)}`],
      ['In flight', String(sum(now.samples, gateway ? 'fovea_gateway_in_flight' : 'fovea_requests_in_flight'))],
      ['Replicas', ready ? `${ready.value} ready` : null],
      ['Queue', gateway ? null : `${sum(now.samples, 'fovea_queue_depth')} images` + (name ? `, ${sum(now.samples, 'fovea_queue_depth', { model: name })} of this model` : '')],
      ['Batch size', gateway ? null : batches > 0 ? short(rise('fovea_batch_size_sum') / batches) : '–'],
      ['Processor', `${short(rise('process_cpu_seconds_total') / seconds)} cores`],
      ['Memory', `${Math.round(sum(now.samples, 'process_resident_memory_bytes') / 2 ** 20)} MiB`],
    ])];
  }
}

/** @param {Sample[]} samples */
function gpus(samples) {
  return select(samples, 'fovea_gpu_info').map(({ labels: { uuid, index, name } }) => {
    const value = (/** @type {string} */ metric) => select(samples, 'fovea_gpu_' + metric, { uuid })[0]?.value ?? NaN;
    const used = value('memory_used_bytes'), total = value('memory_total_bytes'), busy = value('utilization_ratio');
    return make('section', {}, make('h3', {}, `GPU ${index}: ${name}`), value('up') === 1 ? facts([
      ['Busy', make('span', {}, bar(busy), ` ${Math.round(100 * busy)} %`)],
      ['Memory', make('span', {}, bar(used / total), ` ${short(used / 2 ** 30)} of ${short(total / 2 ** 30)} GiB`)],
      ['Power', `${short(value('power_watts'))} W`],
      ['Temperature', `${value('temperature_celsius')} °C`],
    ]) : make('p', {}, 'It does not respond.'));
  });
}
