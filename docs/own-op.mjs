// An op of one's own, y = ln(1 + exp(x)), with its gradient, on the project's graph: two kernels in WGSL, and central
// differences that check them. Run it in a checkout with `node docs/own-op.mjs`.
import { backward, callOf, Graph, openDevice, persistent, planGraph } from 'babelgrad';

/** A kernel with a thread an element. Operands and params are bound by the names that they have here. */
const kernel = (inputs, result) => `
struct Params { count: u32 }
${inputs.map((name, i) => `@group(0) @binding(${i}) var<storage, read> ${name}: array<f32>;`).join('\n')}
@group(0) @binding(${inputs.length}) var<storage, read_write> result: array<f32>;
@group(0) @binding(${inputs.length + 1}) var<uniform> params: Params;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i < params.count) { result[i] = ${result}; }
}`;
const FORWARD = kernel(['x'], 'max(x[i], 0) + log(1 + exp(-abs(x[i])))');
const BACKWARD = kernel(['x', 'dy'], 'dy[i] / (1 + exp(-x[i]))');

/** Traces y = ln(1 + exp(x)), of any shape. */
function softplus(graph, x) {
  const count = x.shape.reduce((product, n) => product * n, 1);
  const call = (label, source, operands) => [
    callOf(source, { label, operands, params: { count }, workgroups: [Math.ceil(count / 64), 1, 1] }),
  ];
  return graph.add({
    op: 'softplus',
    inputs: [x],
    outputs: [{ shape: x.shape }],
    launch: (_, bind, [y]) => call('softplus', FORWARD, { x: bind(x), result: bind(y) }),
    backward: ([dy]) =>
      graph.add({
        op: 'softplus_backward',
        inputs: [x, dy],
        outputs: [{ shape: x.shape }],
        launch: (_, bind, [dx]) => call('softplus_backward', BACKWARD, { x: bind(x), dy: bind(dy), result: bind(dx) }),
      }),
  })[0];
}

const device = await openDevice();
const N = 200;
const tensor = (name, values) => {
  const buffer = device.createBuffer(name, 4 * N);
  device.write(buffer, values);
  return persistent(name, [N], buffer);
};
const values = Float32Array.from({ length: N }, (_, i) => 6 * Math.sin(i));
const x = { ...tensor('x', values), gradient: tensor('dx', new Float32Array(N)) }; // gradients are added to what is there
const graph = new Graph();
const y = softplus(graph, softplus(graph, x)); // L = Σ y, so that the gradient of each y is 1
backward(graph, y, tensor('dy', new Float32Array(N).fill(1)));
const program = await planGraph(device, graph, { keep: [y] });

/** Values of a tensor after a run at these x. */
async function run(at, wanted) {
  device.write(program.rangeOf(x).buffer, at);
  device.submit(program.commands);
  const { buffer, offsetBytes } = program.rangeOf(wanted);
  return new Float32Array(await device.read(buffer, offsetBytes, 4 * N));
}

const gradient = await run(values, x.gradient);
const h = 2 ** -6;
let largest = 0;
for (let i = 0; i < N; i += 10) {
  const [above, below] = [await run(values.with(i, values[i] + h), y), await run(values.with(i, values[i] - h), y)];
  const slope = above.reduce((sum, value, j) => sum + (value - below[j]), 0) / (2 * h);
  largest = Math.max(largest, Math.abs(slope - gradient[i]));
}
console.log(`dL/dx of softplus(softplus(x)) is within ${largest.toExponential(1)} of central differences`);
program.destroy();
device.close();
