/** What was tuned, kept and read back; and what is there but does not count. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { VariantTable } from '../../src/kernels/variants.js';
import { cachePath, choicesOf, readCache, writeCache } from '../../src/tune/cache.js';
import type { Tuned } from '../../src/tune/tune.js';
import { temporaryFolder } from '../data/temporary.js';
import { adapter, requestsOf, tunedFrom } from '../support/tuned.js';

const { folder } = temporaryFolder();
let count = 0;
const freshFolder = () => join(folder, String(count++));

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
