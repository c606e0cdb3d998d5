/** What was tuned, kept and read back; and what is there but does not count. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { AdapterDescription } from '../../src/gpu/adapters.js';
import { type KernelRequest, VariantTable } from '../../src/kernels/variants.js';
import { cachePath, choicesOf, readCache, writeCache } from '../../src/tune/cache.js';
import { candidatesFor } from '../../src/tune/candidates.js';
import type { Tuned } from '../../src/tune/tune.js';
import { temporaryFolder } from '../data/temporary.js';

const { folder } = temporaryFolder();
let count = 0;
const freshFolder = () => join(folder, String(count++));

const adapter: AdapterDescription = {
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
function requestsOf(): KernelRequest[] {
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
function tunedFrom(request: KernelRequest): Tuned {
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

function written(): { folder: string; path: string; tuned: Tuned[] } {
  const own = freshFolder();
  const tuned = requestsOf().map(tunedFrom);
  expect(writeCache(own, adapter, tuned)).toBeUndefined();
  return { folder: own, path: cachePath(own, adapter), tuned };
}

describe('the cache', () => {
  test('gives back what was put in, with every outcome, and a table takes the winners', () => {
    const { folder: own, tuned } = written();
    const { entries, note } = readCache(own, adapter);
    expect(note).toBeUndefined();
    expect([...entries.values()]).toEqual(tuned);
    expect(tuned.map(({ request }) => request.calls)).toEqual([2, 1]);
    const table = new VariantTable(adapter, choicesOf(entries.values()));
    const matmul = { form: 'NT', M: 128, N: 40, K: 33, types: { a: 'f16', b: 'f16', c: 'f16' } } as const; // same buckets
    expect(table.of('matmul', matmul)).toEqual(tuned[0]!.winner);
    const sizes = { B: 9, T: 128, H: 2, KV: 1, D: 32 };
    const attention = { kernel: 'attention_forward', sizes, type: 'f16' } as const;
    expect(table.of('attention', attention)).toEqual(tuned[1]!.winner);
  });

  test('holds products of weights that are stored in two bytes', () => {
    const table = new VariantTable(adapter);
    const own = freshFolder();
    for (const b of ['f16', 'bf16'] as const) {
      table.of('matmul', { form: 'NT', M: 100, N: 64, K: 48, types: { a: 'f32', b, c: 'f32' } });
    }
    const tuned = [...table.requests.values()].map(tunedFrom);
    expect(writeCache(own, adapter, tuned)).toBeUndefined();
    expect([...readCache(own, adapter).entries.values()]).toEqual(tuned);
  });

  test('keeps the entries that are not tuned again', () => {
    const { folder: own, tuned } = written();
    const again = { ...tuned[1]!, winner: tuned[1]!.shipped };
    writeCache(own, adapter, [again]);
    expect([...readCache(own, adapter).entries.values()]).toEqual([tuned[0], again]);
  });

  test('is empty, without a note, where nothing was tuned', () => {
    expect(readCache(freshFolder(), adapter)).toMatchObject({ entries: new Map() });
    expect(readCache(freshFolder(), adapter).note).toBeUndefined();
  });

  test.each([
    ['cut off', (text: string) => text.slice(0, text.length / 2)],
    ['of another format', (text: string) => text.replace('babelgrad tuning 1', 'babelgrad tuning 0')],
    ['with a variant that is none', (text: string) => text.replaceAll('"depth": ', '"depth": -')],
    ['not JSON', () => '\u0000'],
  ])('does not count when it is damaged: %s', (_, damage) => {
    const { folder: own, path } = written();
    writeFileSync(path, damage(readFileSync(path, 'utf8')));
    const { entries, note } = readCache(own, adapter);
    expect(entries.size).toBe(0);
    expect(note).toMatch(/are damaged and do not count/);
    expect(writeCache(own, adapter, requestsOf().map(tunedFrom))).toBeUndefined();
    expect(readCache(own, adapter).entries.size).toBe(2);
  });

  test('does not count after the driver, Dawn or the kernels have changed', () => {
    const { folder: own, path } = written();
    expect(readCache(own, { ...adapter, driver: 'driver 2' })).toMatchObject({
      entries: new Map(),
      note: expect.stringMatching(/do not count: the driver changed since/),
    });
    const file = JSON.parse(readFileSync(path, 'utf8')) as { identity: object };
    writeFileSync(path, JSON.stringify({ ...file, identity: { ...file.identity, kernels: '0', dawn: '0' } }));
    expect(readCache(own, adapter).note).toMatch(/the version of Dawn and the kernels changed since/);
  });

  test('an entry does not count among other candidates, or when its winner is none of them', () => {
    const { folder: own, path } = written();
    const smaller = { ...adapter, limits: { ...adapter.limits, maxComputeWorkgroupStorageSize: 1000 } };
    // the candidates are the same, and the winner does not fit
    expect(readCache(own, smaller).note).toMatch(/of the tuned variants .* do not count/);
    const file = JSON.parse(readFileSync(path, 'utf8')) as { entries: { candidates: string }[] };
    file.entries[0]!.candidates = 'others';
    writeFileSync(path, JSON.stringify(file));
    const { entries, note } = readCache(own, adapter);
    expect(entries.size).toBe(1);
    expect(note).toMatch(/^1 of the tuned variants in '.*' do not count: there are other candidates now/);
  });

  test('is a note where it cannot be written', () => {
    const own = freshFolder();
    writeFileSync(own, 'a file, not a folder');
    expect(writeCache(own, adapter, requestsOf().map(tunedFrom))).toMatch(/cannot be kept, set XDG_CACHE_HOME/);
  });

  test('each adapter has a file of its own', () => {
    const { folder: own } = written();
    expect(readCache(own, { ...adapter, name: 'another GPU' }).entries.size).toBe(0);
  });
});
