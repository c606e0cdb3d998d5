// A loss of one's own on a graph of the shipped ops: the mean squared error of W₂ rmsnorm(W₁ x), with the gradients of
// all three parameters, and central differences that check them. Run it in a checkout with `node docs/own-loss.mjs`.
import { addSum, backward, callOf, Graph, linear, openDevice, persistent, planGraph, rmsnorm } from 'babelgrad';

const kernel = result => `
struct Params { count: u32 }
@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read> goal: array<f32>;
@group(0) @binding(2) var<storage, read> seed: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i < params.count) { result[i] = seed[i] * ${result}; }
}`;
const FORWARD = kernel('(y[i] - goal[i]) * (y[i] - goal[i])');
const BACKWARD = kernel('2 * (y[i] - goal[i])');

/** Traces the squared error of each value of y [R, N] against `goal` [R, N], times its weight in `ones` [R, N]. */
function squaredError(graph, y, goal, ones) {
  const count = y.shape[0] * y.shape[1];
  const call = (label, source, operands) => [
    callOf(source, { label, operands, params: { count }, workgroups: [Math.ceil(count / 64), 1, 1] }),
  ];
  const operands = (bind, seed, result) => ({ y: bind(y), goal: bind(goal), seed: bind(seed), result: bind(result) });
  return graph.add({
    op: 'squared_error',
    inputs: [y, goal, ones],
    outputs: [{ shape: y.shape }],
    launch: (_, bind, [errors]) => call('squared_error', FORWARD, operands(bind, ones, errors)),
    backward: ([seed]) =>
      graph.add({
        op: 'squared_error_backward',
        inputs: [y, goal, seed],
        outputs: [{ shape: y.shape }],
        launch: (_, bind, [dy]) => call('squared_error_backward', BACKWARD, operands(bind, seed, dy)),
      }),
  })[0];
}

const device = await openDevice();
const [R, K, H, N] = [6, 8, 16, 4];
const sizeOf = shape => shape.reduce((product, n) => product * n, 1);
const tensor = (name, shape, make) => {
  const buffer = device.createBuffer(name, 4 * sizeOf(shape));
  const values = Float32Array.from({ length: sizeOf(shape) }, (_, i) => make(i));
  device.write(buffer, values);
  return { tensor: persistent(name, shape, buffer), values };
};
const parameter = (name, shape, make) => {
  const { tensor: weight, values } = tensor(name, shape, make);
  return { values, weight: { ...weight, gradient: tensor(`gradient of ${name}`, shape, () => 0).tensor } };
};
const x = tensor('x', [R, K], i => Math.sin(i)).tensor;
const goal = tensor('goal', [R, N], i => Math.cos(i)).tensor;
const parameters = [
  parameter('W1', [H, K], i => Math.sin(3 * i)),
  parameter('scale', [H], i => 1 + 0.1 * Math.cos(i)),
  parameter('W2', [N, H], i => 0.3 * Math.cos(5 * i)),
];
const [w1, scale, w2] = parameters.map(({ weight }) => weight);

const graph = new Graph();
const y = linear(graph, rmsnorm(graph, linear(graph, x, w1), scale, 1e-5), w2);
const errors = squaredError(graph, y, goal, tensor('ones', [R, N], () => 1).tensor);
const loss = tensor('loss', [1], () => 0).tensor;
addSum(graph, errors, 1 / (R * N), loss);
backward(graph, errors, tensor('seed', [R, N], () => 1 / (R * N)).tensor); // of the mean
const program = await planGraph(device, graph, { keep: [] });

const bufferOf = tensor => program.rangeOf(tensor).buffer;
/** Runs the graph, which adds to the loss and to the gradients, from zero. */
async function run() {
  for (const sum of [loss, ...parameters.map(({ weight }) => weight.gradient)]) {
    device.write(bufferOf(sum), new Float32Array(sizeOf(sum.shape)));
  }
  device.submit(program.commands);
  return new Float32Array(await device.read(bufferOf(loss), 0, 4))[0];
}
console.log(`loss: ${(await run()).toFixed(4)}`);
const gradients = [];
for (const { weight, values } of parameters) {
  gradients.push(new Float32Array(await device.read(bufferOf(weight.gradient), 0, 4 * values.length)));
}
const h = 2 ** -8;
let largest = 0;
for (const [p, { weight, values }] of parameters.entries()) {
  for (let i = 0; i < values.length; i += 5) {
    const at = async value => {
      device.write(bufferOf(weight), values.with(i, value));
      return run();
    };
    const slope = ((await at(values[i] + h)) - (await at(values[i] - h))) / (2 * h);
    largest = Math.max(largest, Math.abs(slope - gradients[p][i]));
  }
  device.write(bufferOf(weight), values);
}
const most = Math.max(...gradients.flatMap(gradient => [...gradient].map(Math.abs)));
console.log(`the gradients, up to ${most.toFixed(2)}, are within ${largest.toExponential(1)} of central differences`);
program.destroy();
device.close();
