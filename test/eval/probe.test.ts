/** Probes: what their tasks are made of, and what a model makes of them. */
import { describe, expect, test } from 'vitest';
import { Prober, probeLength, probeShape, probeTask } from '../../src/eval/probe.js';
import { loadModel, logits } from '../../src/index.js';
import { IGNORED_TARGET } from '../../src/kernels/cross-entropy.js';
import { goldenFolder, goldenShape } from '../support/golden.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();
const pool = Uint32Array.from({ length: 40 }, (_, i) => 100 + i);
const T = 39;

/** The ids of sequence n, marks included, without what fills it up. */
const idsOf = ({ sequences }: { readonly sequences: Uint32Array }, n: number) =>
  [...sequences.subarray(n * (T + 1), (n + 1) * (T + 1))].filter(id => id !== IGNORED_TARGET);
/** The places in their sequence of the ids that predictions are of. */
const placesIn = (predictions: readonly number[], n: number) =>
  predictions.filter(at => Math.floor(at / T) === n).map(at => (at % T) + 1);

describe('a task', () => {
  test('copying is a segment of different tokens twice; measured is the second but for its first token', () => {
    const task = probeTask('copy', pool, T, [7]);
    expect(task).toEqual(probeTask('copy', pool, T, [7]));
    expect(task.sequences.length).toBe(52 * (T + 1)); // about 2,048 tokens
    const [first, second] = [idsOf(task, 0), idsOf(task, 1)];
    expect(first).not.toEqual(second);
    for (const [mark, ...ids] of [first, second]) {
      expect(mark).toBe(7);
      expect(ids.slice(0, 19)).toEqual(ids.slice(19));
      expect(new Set(ids).size).toBe(19);
      expect(ids.every(id => pool.includes(id))).toBe(true);
    }
    expect(placesIn(task.measured, 1)).toEqual(Array.from({ length: 18 }, (_, i) => 21 + i));
    expect(placesIn(task.first, 1)).toEqual(Array.from({ length: 18 }, (_, i) => 2 + i));
    expect(task.chance).toBe(1 / 19);
  });

  test('induction is pairs among fillers, and the same pairs among others; measured is what follows a known A', () => {
    const task = probeTask('induction', pool, T);
    const distances = new Set<number>();
    for (let n = 0; n < 52; n++) {
      const ids = idsOf(task, n);
      const [measured, first] = [placesIn(task.measured, n), placesIn(task.first, n)];
      expect(ids).toHaveLength(40);
      expect(measured).toHaveLength(5);
      measured.forEach((place, pair) => {
        const earlier = first[pair]!;
        expect(earlier).toBeLessThan(20);
        expect(place).toBeGreaterThanOrEqual(20);
        expect([ids[place - 1], ids[place]]).toEqual([ids[earlier - 1], ids[earlier]]);
        distances.add(place - earlier);
      });
      // nothing else comes twice, so that only A foretells B
      expect(new Set(ids).size).toBe(ids.length - 2 * measured.length);
      expect(task.chance).toBe(1 / new Set(ids).size);
    }
    expect(distances.size).toBeGreaterThan(10);
  });

  test('with few tokens sequences are shorter; with too few tokens or places there is none', () => {
    expect(idsOf(probeTask('copy', pool.subarray(0, 9), T), 0)).toHaveLength(18);
    const ids = idsOf(probeTask('induction', pool.subarray(0, 9), T), 0);
    expect([ids.length, new Set(ids).size]).toEqual([8, 6]);
    expect(() => probeTask('copy', pool.subarray(0, 7), T)).toThrow('from 8 different ones at least, and there are 7');
    expect(() => probeTask('induction', pool, 6)).toThrow('needs a context of 7 tokens at least, not 6');
    expect([probeLength(32), probeLength(4096)]).toEqual([32, 255]);
    expect([probeShape(32, 100), probeShape(4096, 8192), probeShape(4096, 1)]).toEqual([
      { B: 3, T: 32 },
      { B: 8, T: 255 },
      { B: 1, T: 255 },
    ]);
  });
});

test('accuracy and losses are those of the logits', async () => {
  const { vocabSize: V } = goldenShape;
  const model = await loadModel(context.device, goldenFolder);
  const tokens = Uint32Array.from({ length: Math.min(V, 40) }, (_, i) => i);
  const prober = await Prober.create(model, { B: 5, T: 15 });
  const probed = await prober.probe(tokens);
  let hits = 0;
  for (const kind of ['copy', 'induction'] as const) {
    const { sequences, measured, first, chance } = probeTask(kind, tokens, 15);
    const B = sequences.length / 16;
    const inputs = Uint32Array.from({ length: B * 15 }, (_, i) => sequences[i + Math.floor(i / 15)]!);
    const values = await logits(
      model,
      inputs.map(id => (id === IGNORED_TARGET ? 0 : id)),
      { B, T: 15 },
    );
    const of = (at: number) => {
      const row = [...values.subarray(at * V, (at + 1) * V)];
      const target = sequences[at + Math.floor(at / 15) + 1]!;
      const loss = Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0)) - row[target]!;
      return { loss, hit: row.every((value, v) => v === target || value < row[target]!) ? 1 : 0 };
    };
    const mean = (at: readonly number[], field: 'loss' | 'hit') =>
      at.reduce((sum, i) => sum + of(i)[field], 0) / at.length;
    const found = probed[kind];
    expect(found).toMatchObject({ accuracy: mean(measured, 'hit'), tokens: measured.length, chance });
    // f32 losses of about 4 nats, of which each is off by some units in the last place
    expect(found.loss).toBeCloseTo(mean(measured, 'loss'), 5);
    expect(found.firstLoss).toBeCloseTo(mean(first, 'loss'), 5);
    hits += found.accuracy * found.tokens;
  }
  expect(hits).toBeGreaterThan(0);
  prober.destroy();
  model.destroy();
});
