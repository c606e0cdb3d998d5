/** f32 matrix products in the three forms of a linear layer's forward and backward. */
import { Graph } from '../src/autograd/graph.js';
import { plan } from '../src/autograd/plan.js';
import { persistent, type Tensor } from '../src/autograd/tensor.js';
import type { Device } from '../src/gpu/device.js';
import { matmul } from '../src/kernels/matmul.js';
import type { MatmulForm } from '../src/kernels/matmul-variant.js';
import { Random } from '../src/random.js';
import type { Work } from './work.js';

/** Work of a run, so that submitting weighs little beside it. */
const FLOPS_PER_RUN = 1e9;

/** C = op(A) op(B) with all sizes `size`, uniform values. */
export async function matmulWork(device: Device, form: MatmulForm, size: number): Promise<Work> {
  const matrix = (name: string): Tensor => {
    const buffer = device.createBuffer(name, 4 * size * size);
    const random = new Random(0, name);
    device.write(
      buffer,
      Float32Array.from({ length: size * size }, () => random.uniform() - 0.5),
    );
    return persistent(name, [size, size], buffer);
  };
  const [a, b, c] = [matrix('a'), matrix('b'), matrix('c')];
  const graph = new Graph();
  graph.add({
    op: 'matmul',
    inputs: [a, b],
    outputs: [],
    updates: [c],
    launch: (kernels, bind) =>
      matmul(kernels, { form, M: size, N: size, K: size }, { a: bind(a), b: bind(b), c: bind(c) }),
  });
  const bound = await plan(device, graph);
  const flops = 2 * size ** 3;
  const perRun = Math.max(1, Math.round(FLOPS_PER_RUN / flops));
  const repeated = Array.from({ length: perRun }, () => bound.commands).flat();
  return {
    name: `matmul ${form} ${size}`,
    flops,
    perRun,
    async run() {
      device.submit(repeated);
      await device.idle();
    },
    async gpuTime() {
      const times = await device.time(repeated);
      return times.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / perRun;
    },
    destroy() {
      bound.destroy();
      for (const { buffer } of [a, b, c]) buffer!.destroy();
    },
  };
}
