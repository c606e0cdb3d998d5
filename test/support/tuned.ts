/** What a tuner might have found, for an adapter that there is not. */
import type { AdapterDescription } from '../../src/gpu/adapters.js';
import { type KernelRequest, VariantTable } from '../../src/kernels/variants.js';
import { candidatesFor } from '../../src/tune/candidates.js';
import type { Tuned } from '../../src/tune/tune.js';

export const adapter: AdapterDescription = {
  number: 1,
  name: 'a GPU',
  vendor: 'a vendor',
  architecture: 'an architecture',
  driver: 'driver 1',
  kind: 'hardware',
  subgroupSizes: [32],
  subgroupMatrices: [{ operand: 'f16', result: 'f32', M: 16, N: 16, K: 16 }],
  features: ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'],
  limits: {
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupSizeX: 1024,
    maxComputeWorkgroupStorageSize: 49152,
    maxBufferSize: 2 ** 31,
    maxStorageBufferBindingSize: 2 ** 31,
  },
};

/** The requests of a table that was asked for a product and for attention. */
export function requestsOf(): KernelRequest[] {
  const table = new VariantTable(adapter);
  table.of('matmul', { form: 'NT', M: 100, N: 64, K: 48, types: { a: 'f16', b: 'f16', c: 'f16' } });
  table.of('matmul', { form: 'NT', M: 120, N: 64, K: 48, types: { a: 'f16', b: 'f16', c: 'f16' } });
  table.of('attention', {
    kernel: 'attention_forward',
    sizes: { B: 1, T: 100, H: 2, KV: 1, D: 32 },
    type: 'f16',
  });
  return [...table.requests.values()];
}

/** The last candidate that may run, as if it had been fastest. */
export function tunedFrom(request: KernelRequest): Tuned {
  const all = candidatesFor(adapter, request);
  const winner = all.findLast(({ refused }) => refused === undefined)!.variant;
  return {
    request,
    winner,
    shipped: all[0]!.variant,
    outcomes: [
      { variant: winner, state: 'timed', milliseconds: 0.5 },
      { variant: all[0]!.variant, state: 'timed', milliseconds: 1 },
      { variant: all[1]!.variant, state: 'wrong', reason: 'c: 3 of 4 beyond the bound' },
      { variant: all[2]!.variant, state: 'untried' },
    ],
  };
}
