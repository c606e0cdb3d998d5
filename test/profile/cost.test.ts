/** Bytes of calls, against what the kernels' formulas read and write. */
import { expect, test } from 'vitest';
import { MemoryCount } from '../../src/gpu/memory.js';
import { adamw } from '../../src/kernels/adamw.js';
import { accumulate, add } from '../../src/kernels/add.js';
import type { KernelCall, Operand } from '../../src/kernels/call.js';
import { crossEntropy } from '../../src/kernels/cross-entropy.js';
import { embeddingForward } from '../../src/kernels/embedding.js';
import { rmsnormBackward, rmsnormForward } from '../../src/kernels/rmsnorm.js';
import { swigluBackward } from '../../src/kernels/swiglu.js';
import { VariantTable } from '../../src/kernels/variants.js';
import { bytesOfCall } from '../../src/profile/cost.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();

const [rows, columns] = [40, 16];
const R = 4 * rows;
const RC = R * columns;

/** In buffers that are only counted, of four bytes an element. */
function operands<Name extends string>(elements: Readonly<Record<Name, number>>): Record<Name, Operand> {
  const memory = new MemoryCount(context.device.adapter);
  const made = Object.entries<number>(elements).map(([name, count]) => {
    const sizeBytes = 4 * count;
    return [name, { buffer: memory.createBuffer(name, sizeBytes), offsetBytes: 0, sizeBytes, type: 'f32' }];
  });
  return Object.fromEntries(made) as Record<Name, Operand>;
}

type Calls = (variants: VariantTable) => KernelCall[];
const size = rows * columns;
const sizes = { rows, columns };

test.each<[string, Calls, number]>([
  ['y = a + b', variants => add(variants, size, operands({ a: size, b: size, y: size })), 3 * RC],
  ['y += a reads what it writes', variants => accumulate(variants, size, operands({ a: size, y: size })), 3 * RC],
  [
    'AdamW moves seven floats a parameter',
    variants =>
      adamw(
        variants,
        size,
        { beta1: 0.9, beta2: 0.9, eps: 1e-8, weightDecay: 0 },
        operands({ gradient: size, parameter: size, m: size, v: size, schedule: 4, health: 8 }),
      ),
    7 * RC + 4 * (4 + 8),
  ],
  [
    'RMSNorm',
    variants =>
      rmsnormForward(variants, { ...sizes, eps: 1e-5 }, operands({ x: size, weight: columns, y: size, rstd: rows })),
    2 * RC + R + 4 * columns,
  ],
  [
    'the gradient of RMSNorm',
    variants =>
      rmsnormBackward(
        variants,
        sizes,
        operands({ x: size, weight: columns, rstd: rows, dy: size, dx: size, addend: size }),
      ),
    4 * RC + R + 4 * columns,
  ],
  [
    'the gradient of SwiGLU',
    variants => swigluBackward(variants, sizes, operands({ x: 2 * size, dy: size, dx: 2 * size })),
    5 * RC,
  ],
  [
    'losses alone, whose logits stay as they are',
    variants => crossEntropy(variants, sizes, undefined, operands({ targets: rows, logits: size, losses: rows })),
    RC + 2 * R,
  ],
])('%s', (_, calls, bytes) => {
  const made = calls(new VariantTable(context.device.adapter));
  expect(made).toHaveLength(1);
  expect(bytesOfCall(made[0]!)).toBe(bytes);
});

test('a look-up in a table, of which the rows are not known, has no bytes', () => {
  const variants = new VariantTable(context.device.adapter);
  const bound = operands({ ids: rows, table: 1000 * columns, y: size });
  const [call] = embeddingForward(variants, { ...sizes, entries: 1000 }, bound);
  expect(bytesOfCall(call!)).toBeUndefined();
});
