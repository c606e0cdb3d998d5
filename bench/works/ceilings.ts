/** What the adapter gives at most, measured beside the works: a multiply-add loop in registers, and a copy. */
import { Graph } from '../../src/autograd/graph.js';
import { sizeOf, type Tensor } from '../../src/autograd/tensor.js';
import type { Device } from '../../src/gpu/device.js';
import type { KernelCall, Operand } from '../../src/kernels/call.js';
import { ceilingCopy, ceilingFma, ceilingFmaFlops, ceilingFmaSum } from '../../src/kernels/ceiling.js';
import { place, uniform } from '../tensors.js';
import type { Work } from '../work.js';
import { kernelWork, pick, spread, verify } from './kernel.js';

/** Threads, and rounds of the loop: enough to fill a GPU, and not more than a second's work of a CPU. */
const fmaSize = (device: Device) =>
  device.adapter.kind === 'hardware' ? { threads: 2 ** 20, rounds: 2048 } : { threads: 2 ** 13, rounds: 512 };
/** f32 elements of the copy: well beyond the caches. */
const copySize = (device: Device) => (device.adapter.kind === 'hardware' ? 2 ** 26 : 2 ** 23);

function launches(graph: Graph, op: string, updates: Tensor[], call: (bind: (t: Tensor) => Operand) => KernelCall) {
  graph.add({ op, inputs: [], outputs: [], updates, launch: (_, bind) => [call(bind)] });
}

export async function fmaCeiling(device: Device): Promise<Work> {
  const { threads, rounds } = fmaSize(device);
  const name = 'multiply-add ceiling';
  const y = place(device, name, [threads]);
  const graph = new Graph();
  launches(graph, 'ceiling_fma', [y], bind => ceilingFma(threads, rounds, { y: bind(y) }));
  return kernelWork(device, {
    name,
    kind: 'ceiling',
    flops: ceilingFmaFlops(threads, rounds),
    bytes: 4 * threads,
    rate: 'flops',
    graph,
    tensors: [y],
    async check(read) {
      const reference = Float64Array.from({ length: threads }, (_, i) => ceilingFmaSum(i, rounds));
      return verify(name, [{ what: 'the sum', actual: await read(y), reference, bound: 0.5 }]);
    },
  });
}

export async function copyCeiling(device: Device): Promise<Work> {
  const { maxStorageBufferBindingSize } = device.adapter.limits as Record<string, number>;
  const count = Math.min(copySize(device), Math.floor(maxStorageBufferBindingSize! / 16) * 4);
  const name = 'copy ceiling';
  const tensors = [place(device, 'copied from', [count], uniform), place(device, 'copied to', [count])];
  const [x, y] = tensors as [Tensor, Tensor];
  const graph = new Graph();
  launches(graph, 'ceiling_copy', [y], bind => ceilingCopy(count, { x: bind(x), y: bind(y) }));
  return kernelWork(device, {
    name,
    kind: 'ceiling',
    flops: 0,
    bytes: 8 * sizeOf(x.shape),
    rate: 'bytes',
    graph,
    tensors,
    async check(read) {
      const indices = spread(count);
      const reference = Float64Array.from(pick(await read(x), indices));
      const actual = pick(await read(y), indices);
      return verify(name, [{ what: 'the copy', actual, reference, bound: 2 ** -126 }]);
    },
  });
}
