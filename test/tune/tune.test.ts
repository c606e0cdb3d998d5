/** The autotuner: which candidates there are, that a wrong one is never chosen, and that it ends. */
import { describe, expect, test } from 'vitest';
import type { AdapterDescription } from '../../src/gpu/adapters.js';
import type { ElementType } from '../../src/kernels/element-type.js';
import type { KernelRequest } from '../../src/kernels/variants.js';
import { type Candidate, candidatesFor, sameVariant, showVariant } from '../../src/tune/candidates.js';
import { Checker } from '../../src/tune/check.js';
import type { Variant } from '../../src/tune/kind.js';
import { caseOf, freeOperands, makeOperands, programOf } from '../../src/tune/subject.js';
import { type Timer, timeRound } from '../../src/tune/time.js';
import { tune } from '../../src/tune/tune.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();

const matmul = (form: 'NN' | 'NT' | 'TN', types: [ElementType, ElementType, ElementType], sizes = [48, 40, 24]) => {
  const [M, N, K] = sizes as [number, number, number];
  const [a, b, c] = types;
  const request = { form, M, N, K, types: { a, b, c } };
  return { kind: 'matmul', key: `${form} ${types.join(' ')}`, calls: 1, request } as const;
};
const attention = (kernel: 'attention_forward' | 'attention_backward_query' | 'attention_backward_key_value') =>
  (['f32', 'f16'] as const).map(type => {
    const request = { kernel, sizes: { B: 2, T: 33, H: 4, KV: 2, D: 24 }, type };
    return { kind: 'attention', key: `${kernel} ${type}`, calls: 1, request } as const;
  });
const rows = (kernel: 'rmsnorm_forward' | 'rmsnorm_backward' | 'cross_entropy', columns: number) =>
  (['f32', 'f16'] as const).map(type => {
    const request = { kernel, rows: 40, columns, type };
    return { kind: 'rows', key: `${kernel} ${type}`, calls: 1, request } as const;
  });
const adamw = (type: ElementType, gradient: ElementType) => {
  const request = { kernel: 'adamw', count: 70_000, type, gradient } as const;
  return { kind: 'elements', key: `adamw ${type} of ${gradient}`, calls: 1, request } as const;
};

const f32 = matmul('NT', ['f32', 'f32', 'f32']);
const halves = matmul('NN', ['f16', 'f16', 'f16']);
const storedHalves = matmul('NT', ['f32', 'f16', 'f32'], [50, 30, 22]);
const storedBfloats = matmul('NT', ['f32', 'bf16', 'f32'], [50, 30, 22]);
const requests: KernelRequest[] = [
  f32,
  matmul('NT', ['f32', 'f32', 'f32'], [3, 40, 600]),
  matmul('NN', ['f32', 'f32', 'f32'], [31, 33, 17]),
  matmul('TN', ['f32', 'f32', 'f32']),
  halves,
  storedHalves,
  matmul('TN', ['f16', 'f16', 'f32']),
  storedBfloats,
  ...attention('attention_forward'),
  ...attention('attention_backward_query'),
  ...attention('attention_backward_key_value'),
  ...rows('rmsnorm_forward', 688),
  ...rows('rmsnorm_backward', 90),
  ...rows('cross_entropy', 512),
  adamw('f32', 'f32'),
  adamw('f16', 'f32'),
  adamw('f16', 'f16'),
];
const hasHalves = () => context.device.adapter.features.includes('shader-f16');
const runnable = () => requests.filter(({ key }) => hasHalves() || !/\bf16/.test(key));

const hardware = (more: Partial<AdapterDescription> = {}): AdapterDescription => ({
  ...context.device.adapter,
  kind: 'hardware',
  subgroupSizes: [32],
  features: ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'],
  subgroupMatrices: [{ operand: 'f16', result: 'f32', M: 16, N: 16, K: 16 }],
  ...more,
});
const allowed = (candidates: readonly Candidate[]) => candidates.filter(({ refused }) => refused === undefined);
const isMatrix = ({ variant }: Candidate) => 'matrix' in variant;

describe('candidates', () => {
  test('begin with the shipped variant, are distinct, and are many on a GPU', () => {
    for (const request of requests) {
      const all = candidatesFor(hardware(), request);
      expect(new Set(all.map(({ variant }) => showVariant(variant))).size).toBe(all.length);
      expect(allowed(all).length).toBeGreaterThanOrEqual(request.kind === 'matmul' ? 20 : 8);
    }
  });

  test('respect the limits of the adapter, and say why they are refused', () => {
    const limits = {
      ...context.device.adapter.limits,
      maxComputeInvocationsPerWorkgroup: 64,
      maxComputeWorkgroupStorageSize: 6000,
    };
    for (const request of requests) {
      for (const { variant, refused } of candidatesFor(hardware({ limits }), request)) {
        if ('kernel' in variant && variant.kernel === 'tiled') {
          const { threadsM, threadsN, rows, columns, depth } = variant;
          const bytes = 16 * depth * (threadsM * rows + threadsN * columns);
          if (threadsM * threadsN > 64) expect(refused).toMatch(/threads, the adapter allows 64/);
          else if (bytes > 6000) expect(refused).toBe(`${bytes} bytes of workgroup memory, the adapter has 6000`);
          else expect(refused).toBeUndefined();
        }
        if ('workgroup' in variant && variant.workgroup > 64) expect(refused).toMatch(/128|256|512/);
      }
    }
  });

  test('are tried on a GPU in the order of what its units and its workgroup memory allow', () => {
    const product = (size: number, type: 'f32' | 'f16') => {
      const request = { form: 'NT', M: size, N: size, K: size, types: { a: type, b: type, c: type } } as const;
      return candidatesFor(hardware(), { kind: 'matmul', key: 'product', calls: 1, request }).slice(1, 6);
    };
    const sums = ({ variant }: Candidate) =>
      'columns' in variant && 'rows' in variant ? variant.rows * variant.columns : 0;
    // threads of 8 x 8 sums and more where the product is large, small tiles where it would leave most of a GPU idle
    expect(product(4096, 'f32').every(candidate => sums(candidate) >= 4)).toBe(true);
    expect(product(256, 'f32')[0]!.variant).toMatchObject({ threadsM: 8, threadsN: 8, rows: 1, columns: 1 });
    expect(product(4096, 'f16').every(isMatrix)).toBe(true);
  });

  test('leave out what spills on the GPUs with the fewest registers', () => {
    const spills = (candidates: readonly Candidate[]) =>
      allowed(candidates).some(
        ({ variant }) => 'columns' in variant && variant.kernel === 'tiled' && variant.rows * variant.columns > 4,
      );
    expect(spills(candidatesFor(hardware(), f32))).toBe(true);
    expect(spills(candidatesFor(hardware({ vendor: 'apple' }), f32))).toBe(false);
  });

  test('hold subgroup matrices for models in f16 alone, in the shapes that the adapter has, and never where drivers crash', () => {
    expect(allowed(candidatesFor(hardware(), halves)).some(isMatrix)).toBe(true);
    for (const request of [f32, storedHalves, storedBfloats]) {
      expect(candidatesFor(hardware(), request).some(isMatrix)).toBe(false);
    }
    expect(candidatesFor(hardware({ subgroupMatrices: [] }), halves).some(isMatrix)).toBe(false);
    const software = (...subgroupSizes: number[]) =>
      candidatesFor(
        hardware({ kind: 'system software', subgroupSizes, limits: context.device.adapter.limits }),
        halves,
      );
    expect(allowed(software(8)).some(isMatrix)).toBe(true);
    expect(software(16).some(isMatrix)).toBe(true);
    expect(allowed(software(16)).some(isMatrix)).toBe(false);
  });

  test('leave subgroups out where there is no one size of them', () => {
    for (const request of requests) {
      const kinds = candidatesFor(hardware({ subgroupSizes: [] }), request).map(({ variant }) => showVariant(variant));
      expect(kinds.filter(text => !/^(tiled|memory|workgroup|rows lanes=0 )/.test(text))).toEqual([]);
    }
  });
});

/** Stages four of every six rows of a tile alone: it compiles, and is wrong. */
const wrong: Variant = { kernel: 'tiled', threadsM: 8, threadsN: 8, rows: 1, columns: 1, depth: 6 };

/** Halves 48 threads until one is left out. */
const halved: Variant = { lanes: 0, workgroup: 48, vector: 1 };

describe('the check', () => {
  test.each(requests)('passes what is shipped, the nearest other and a subgroup matrix: $key', async request => {
    if (!runnable().includes(request)) return;
    const checker = new Checker(context.device);
    const all = allowed(candidatesFor(context.device.adapter, request));
    for (const { variant } of [...all.slice(0, 2), ...all.filter(isMatrix).slice(0, 1)]) {
      expect(await checker.findFault(request, variant), showVariant(variant)).toBeUndefined();
    }
  });

  test('catches a variant that is wrong, in every form', async () => {
    const checker = new Checker(context.device);
    for (const request of runnable()) {
      if (request.kind === 'matmul') expect(await checker.findFault(request, wrong)).toMatch(/^c: .* beyond the bound/);
      if (request.kind === 'rows') expect(await checker.findFault(request, halved)).toMatch(/beyond the bound/);
    }
  });
});

describe('time', () => {
  test('is measured with timestamps, and by the clock where an adapter has none', async () => {
    const { device } = context;
    const { variant } = candidatesFor(device.adapter, f32)[0]!;
    const operands = makeOperands(device, caseOf(f32, variant));
    const programs = [1, 2].map(() => programOf(device, f32, variant, operands));
    const plans = await Promise.all(programs);
    const features = device.adapter.features.filter(feature => feature !== 'timestamp-query');
    let submits = 0;
    const withoutTimestamps: Timer = {
      adapter: { ...device.adapter, features },
      submit: commands => {
        submits++;
        device.submit(commands);
      },
      idle: () => device.idle(),
      time: commands => device.time(commands),
    };
    for (const timer of [device, withoutTimestamps]) {
      const times = await timeRound(timer, plans);
      expect(times).toHaveLength(2);
      for (const time of times) expect(time).toBeGreaterThan(0);
    }
    expect(submits).toBeGreaterThanOrEqual(2);
    for (const plan of plans) plan.destroy();
    freeOperands(operands);
  });
});

describe('tuning', () => {
  const shippedFirst = (adapter: AdapterDescription, request: KernelRequest) => candidatesFor(adapter, request)[0]!;

  test('never chooses a variant that is wrong or does not compile, and says what became of it', async () => {
    const broken: Variant = { kernel: 'tiled', threadsM: 8, threadsN: 8, rows: 1, columns: 1, depth: 1.5 };
    const candidates = (adapter: AdapterDescription, request: KernelRequest): Candidate[] => [
      shippedFirst(adapter, request),
      { variant: wrong },
      { variant: broken },
      { variant: { ...wrong, depth: 8 }, refused: 'for the test' },
    ];
    const [tuned, ...others] = await tune(context.device, [f32], { seconds: 60, candidates });
    expect(others).toEqual([]);
    expect(tuned!.winner).toEqual(tuned!.shipped);
    expect(tuned!.outcomes.map(({ state }) => state)).toEqual(['timed', 'wrong', 'refused', 'refused']);
    expect(tuned!.outcomes[2]).toMatchObject({ reason: expect.stringContaining('does not compile') });
    expect(tuned!.outcomes[3]).toMatchObject({ reason: 'for the test' });
  });

  test('takes another where the shipped one is wrong', async () => {
    const candidates = (adapter: AdapterDescription, request: KernelRequest) => [
      { variant: wrong },
      shippedFirst(adapter, request),
    ];
    const [tuned] = await tune(context.device, [f32], { seconds: 60, candidates });
    expect(tuned!.winner).toEqual(shippedFirst(context.device.adapter, f32).variant);
  });

  test('chooses one of the candidates, sorted by their time, and frees what it made', async () => {
    const { device } = context;
    const before = device.memory.bytes;
    const some = (adapter: AdapterDescription, request: KernelRequest) =>
      allowed(candidatesFor(adapter, request)).slice(0, 3);
    const progress: number[] = [];
    const tuned = await tune(device, [f32, attention('attention_forward')[0]!], {
      seconds: 60,
      candidates: some,
      onProgress: done => progress.push(done),
    });
    expect(tuned).toHaveLength(2);
    for (const { request, winner, outcomes } of tuned) {
      const timed = outcomes.filter(one => one.state === 'timed');
      expect(timed.length).toBe(outcomes.length);
      expect(timed.some(({ variant }) => sameVariant(variant, winner))).toBe(true);
      expect(some(device.adapter, request).some(({ variant }) => sameVariant(variant, winner))).toBe(true);
      const times = timed.map(({ milliseconds }) => milliseconds);
      expect(times).toEqual([...times].sort((a, b) => a - b));
    }
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(device.memory.bytes).toBe(before);
  });

  test('ends when its time is over or it is aborted, with what it has', async () => {
    let generated = 0;
    const candidates = (adapter: AdapterDescription, request: KernelRequest) => {
      generated++;
      return candidatesFor(adapter, request);
    };
    expect(await tune(context.device, runnable(), { seconds: 0, candidates })).toEqual([]);
    const signal = AbortSignal.abort();
    expect(await tune(context.device, runnable(), { seconds: 60, signal, candidates })).toEqual([]);
    expect(generated).toBe(0);
    const abort = new AbortController();
    let calls = 0;
    const tuned = await tune(context.device, runnable(), {
      seconds: 600,
      signal: abort.signal,
      onProgress: () => ++calls === 20 && abort.abort(),
      candidates,
    });
    expect(calls).toBeLessThan(120); // the rest of a request says so once for each candidate, and nothing is tried
    expect(tuned.length).toBeLessThan(runnable().length);
  });
});
