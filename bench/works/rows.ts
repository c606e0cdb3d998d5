/** RMSNorm forward and backward, and cross-entropy with its gradient: what a row at a time costs. */
import { Graph } from '../../src/autograd/graph.js';
import type { Tensor } from '../../src/autograd/tensor.js';
import type { Device } from '../../src/gpu/device.js';
import { crossEntropy } from '../../src/kernels/cross-entropy.js';
import { crossEntropyBounds, rmsnormBound, rmsnormInputBound, rmsnormWeightBound } from '../../src/numerics/bounds.js';
import { crossEntropy as crossEntropy64, rmsnorm as rmsnorm64, rmsnormBackward } from '../../src/numerics/reference.js';
import { rmsnorm } from '../../src/ops/rmsnorm.js';
import { Random } from '../../src/random.js';
import { place, uniform } from '../tensors.js';
import type { Work } from '../work.js';
import { gradientsOf, kernelWork, verify } from './kernel.js';

/** Rows that a check takes in float64, from the first on. */
const CHECKED_ELEMENTS = 2 ** 22;
const EPS = 1e-5;

/** x [rows, columns] → y, then dy → dx and dweight. */
export async function rmsnormWork(device: Device, rows: number, columns: number): Promise<Work> {
  const name = `rmsnorm ${rows} x ${columns}`;
  const inputs = ['x', 'dy'].map(label => place(device, label, [rows, columns], uniform));
  const [x, dy] = inputs as [Tensor, Tensor];
  const weight = { ...place(device, 'weight', [columns], uniform), gradient: place(device, 'dweight', [columns]) };
  const graph = new Graph();
  const y = rmsnorm(graph, x, weight, EPS);
  const [dx] = gradientsOf(graph.nodes[0]!, [dy]) as [Tensor];
  return kernelWork(device, {
    name,
    kind: 'rmsnorm',
    flops: 13 * rows * columns,
    // forward: x, y; backward: x, dy, dx
    bytes: 5 * 4 * rows * columns,
    rate: 'bytes',
    graph,
    tensors: [...inputs, weight],
    keep: [y, dx],
    async check(read) {
      const arrays: Record<string, Float32Array> = {};
      const read64 = async (tensor: Tensor) => Float64Array.from(await read(tensor));
      const [x64, w64, dy64] = [await read64(x), await read64(weight), await read64(dy)];
      for (const [label, tensor] of Object.entries({ y, dx, dweight: weight.gradient })) {
        arrays[label] = await read(tensor);
      }
      const forward = rmsnorm64(x64, w64, rows, columns, EPS);
      const backward = rmsnormBackward(x64, w64, forward.rstd, dy64, rows, columns);
      const given = { x: x64, weight: w64, rstd: forward.rstd, dy: dy64 };
      return verify(name, [
        {
          what: 'y',
          actual: arrays.y!,
          reference: forward.y,
          bound: rmsnormBound(forward.y, w64, forward.rstd, columns),
        },
        {
          what: 'dx',
          actual: arrays.dx!,
          reference: backward.dx,
          bound: rmsnormInputBound(given, rows, columns),
        },
        {
          what: 'dweight',
          actual: arrays.dweight!,
          reference: backward.dweight,
          bound: rmsnormWeightBound(given, rows, columns),
        },
      ]);
    },
  });
}

/** logits [rows, vocabulary] → losses, and the logits' gradient in their place. */
export async function crossEntropyWork(device: Device, rows: number, vocabulary: number): Promise<Work> {
  const name = `cross-entropy ${rows} x ${vocabulary}`;
  const random = new Random(0, 'targets');
  const ids = Uint32Array.from({ length: rows }, () => random.integer(vocabulary));
  const logitsInput = (label: string, count: number) => uniform(label, count, -4, 4);
  const logits = place(device, 'logits', [rows, vocabulary], logitsInput);
  const targets = place(device, 'targets', [rows], () => ids);
  const losses = place(device, 'losses', [rows]);
  const graph = new Graph();
  graph.add({
    op: 'cross_entropy',
    inputs: [targets],
    outputs: [],
    updates: [logits, losses],
    launch: (variants, bind) =>
      crossEntropy(
        variants,
        { rows, columns: vocabulary },
        { scale: 1 / rows },
        { targets: bind(targets), logits: bind(logits), losses: bind(losses) },
      ),
  });
  return kernelWork(device, {
    name,
    kind: 'cross-entropy',
    flops: 6 * rows * vocabulary,
    bytes: 2 * 4 * rows * vocabulary,
    rate: 'bytes',
    graph,
    tensors: [logits, targets, losses],
    async check(read) {
      const checked = Math.max(1, Math.min(rows, Math.floor(CHECKED_ELEMENTS / vocabulary)));
      const given = Float64Array.from(logitsInput('logits', rows * vocabulary).subarray(0, checked * vocabulary));
      const reference = crossEntropy64(given, ids.subarray(0, checked), vocabulary, 1 / rows);
      const bounds = crossEntropyBounds(given, ids.subarray(0, checked), vocabulary, 1 / rows);
      const first = (values: Float32Array, count: number) => values.subarray(0, count);
      return verify(name, [
        {
          what: 'losses',
          actual: first(await read(losses), checked),
          reference: reference.losses,
          bound: bounds.losses,
        },
        {
          what: 'dlogits',
          actual: first(await read(logits), checked * vocabulary),
          reference: reference.dlogits,
          bound: bounds.dlogits,
        },
      ]);
    },
  });
}
