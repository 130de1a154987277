// What the server says about a model.
import { count, facts, make, short } from './dom.js';

/**
 * @typedef {import('./server.js').Model} Model
 * @typedef {import('./server.js').Version} Version
 */

/** @param {string} task */
export const taskName = (task) => task.replaceAll('_', ' ');

/** @param {Model | null} model @returns {Node[]} */
export function card(model) {
  if (!model) return [make('p', {}, 'Nothing is known about the model: the API key does not allow to read descriptions (scope models).')];
  /** @type {Node[]} */
  const parts = [facts([
    ['Name', model.name],
    ['Task', taskName(model.task)],
    ['State', model.state],
    ['Classes', model.labels?.length ?? null],
    ['Definition', definition(model)],
    ['Unreadable', model.unreadable],
    ['Defaults', defaults(model)],
    ['Steps', model.steps?.map((s) => `${s.name}: ${s.model}${s.of ? ` of ${s.of}` : ''}`).join('; ')],
  ])];
  if (model.assumptions.length > 0) {
    parts.push(make('h3', {}, 'Assumptions'), make('p', { class: 'hint' }, 'No file says these values. If results are wrong, look here first.'));
    parts.push(facts(model.assumptions.map((a) => [a.key, `${a.value} (${a.from})`])));
  }
  for (const version of [...model.versions].reverse()) parts.push(make('h3', {}, `Version ${version.version || '–'}: ${version.state}`), describe(version));
  return parts;
}

/** @param {Model} model */
function definition(model) {
  if (model.definition === 'file') return 'model.yaml';
  return model.definition === 'inferred' ? `inferred from the ONNX file${model.exporter ? `, written by ${model.exporter}` : ''}` : '';
}

/** @param {Model} model */
function defaults(model) {
  return Object.entries(model.defaults ?? {}).map(([name, value]) =>
    `${name} ${Array.isArray(value) ? value.map((c) => `${c.label}: ${c.score}`).join(', ') : value}`).join(', ');
}

/** @param {Version} v */
function describe(v) {
  const { image } = v, tensors = (/** @type {import('./server.js').Tensor[]} */ list) =>
    (list ?? []).map((t) => `${t.name} ${t.dtype} [${t.shape.map((n) => (n < 0 ? '?' : n)).join(', ')}]`).join('; ');
  const size = image?.width && image.height ? `${image.width} × ${image.height}` : 'of open size';
  const normal = image?.scale === undefined ? '' :
    `, (v × ${Number(image.scale.toPrecision(6))} − ${list(image.mean)}) ÷ ${list(image.std)}`;
  return facts([
    ['Error', v.error],
    ['Device', v.device + (v.partly_cpu ? ', partly on the CPU' : '')],
    ['Image', v.device && image?.dtype && `${size}, ${image.resize}, ${image.color}, ${image.layout}, ${image.dtype}${normal}`],
    ['Inputs', tensors(v.inputs)],
    ['Outputs', tensors(v.outputs)],
    ['Batches', v.max_batch ? `up to ${count(v.max_batch, 'image')}` : ''],
    ['Queue', v.queue_limit ? `${v.queue_depth} of ${v.queue_limit}` : ''],
    ['Warnings', v.warnings?.join('; ')],
    ['Gate', v.gate && `${v.gate.passed ? 'passed' : `not passed: ${v.gate.reason}`}, ${count(v.gate.images, 'image')}`],
  ]);
}

/** @param {number[] | undefined} numbers */
const list = (numbers) => (!numbers || numbers.length === 1 ? short(numbers?.[0] ?? 0) : `[${numbers.map(short).join(', ')}]`);
