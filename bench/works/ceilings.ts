/** What the adapter gives at most, measured beside the works: a multiply-add loop in registers, and a copy. */
import { sizeOf, type Tensor } from '../../src/autograd/tensor.js';
import type { Device } from '../../src/gpu/device.js';
import { fmaLoop, largeCopy } from '../../src/profile/ceilings.js';
import type { Work } from '../work.js';
import { kernelWork, pick, spread, verify } from './kernel.js';

export async function fmaCeiling(device: Device): Promise<Work> {
  const name = 'multiply-add ceiling';
  const { sumOf, ...loop } = fmaLoop(device);
  const [y] = loop.tensors as [Tensor];
  return kernelWork(device, {
    name,
    kind: 'ceiling',
    rate: 'flops',
    ...loop,
    async check(read) {
      const reference = Float64Array.from({ length: sizeOf(y.shape) }, (_, i) => sumOf(i));
      return verify(name, [{ what: 'the sum', actual: await read(y), reference, bound: 0.5 }]);
    },
  });
}

export async function copyCeiling(device: Device): Promise<Work> {
  const name = 'copy ceiling';
  const copy = largeCopy(device);
  const [x, y] = copy.tensors as [Tensor, Tensor];
  return kernelWork(device, {
    name,
    kind: 'ceiling',
    rate: 'bytes',
    ...copy,
    async check(read) {
      const indices = spread(sizeOf(x.shape));
      const reference = Float64Array.from(pick(await read(x), indices));
      const actual = pick(await read(y), indices);
      return verify(name, [{ what: 'the copy', actual, reference, bound: 2 ** -126 }]);
    },
  });
}
