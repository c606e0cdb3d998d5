import { describe, expect, test } from 'vitest';
import { Mixture, type MixtureSource, type TokenSource } from '../../src/data/mixture.js';
import { UserError } from '../../src/errors.js';

/** Ids first, first + 1, …: a window tells where it is from. */
function counting(tokens: number, first = 0): TokenSource {
  return {
    trainTokens: tokens,
    readTrain: (start, count) => Uint32Array.from({ length: count }, (_, i) => first + start + i),
  };
}
const source = (name: string, weight: number, tokens = counting(1000)): MixtureSource => ({ name, weight, tokens });
const mix = (sources: MixtureSource[], seed = 5, contextLength = 8) => new Mixture(sources, { seed, contextLength });
const draw = (mixture: Mixture, count: number) => Array.from({ length: count }, () => mixture.nextSequence());

describe('shares', () => {
  test('follow the weights at every length', () => {
    const weights = [3, 1.5, 0.5];
    const mixture = mix(weights.map((weight, i) => source(`${i}`, weight)));
    const drawn = [0, 0, 0];
    for (let n = 1; n <= 400; n++) {
      drawn[mixture.nextSequence().source]!++;
      weights.forEach((weight, i) => {
        expect(Math.abs(drawn[i]! - (weight / 5) * n)).toBeLessThan(1);
      });
    }
    expect(drawn).toEqual([240, 120, 40]);
  });

  test('a tie goes to the first source, also where weights are not binary fractions', () => {
    expect(draw(mix([source('a', 0.1), source('b', 0.1), source('c', 0.1)]), 9).map(({ source }) => source)).toEqual([
      0, 1, 2, 0, 1, 2, 0, 1, 2,
    ]);
  });
});

describe('sequences', () => {
  test('an epoch has every window once, T+1 tokens at stride T; the next has another order', () => {
    const mixture = mix([source('a', 1, counting(8 * 20 + 1))]);
    const [one, two] = [draw(mixture, 20), draw(mixture, 20)].map(epoch => epoch.map(({ tokens }) => tokens[0]!));
    const starts = Array.from({ length: 20 }, (_, i) => 8 * i);
    expect([...one!].sort((a, b) => a - b)).toEqual(starts);
    expect([...two!].sort((a, b) => a - b)).toEqual(starts);
    expect(one).not.toEqual(starts);
    expect(two).not.toEqual(one);
    const { tokens } = mixture.nextSequence();
    expect(Array.from(tokens)).toEqual(Array.from({ length: 9 }, (_, i) => tokens[0]! + i));
    expect(mixture.epochs()[0]).toBeCloseTo((41 * 8) / 161, 12);
  });

  test('a batch is the next sequences [B, T+1], one after another', () => {
    const sources = [source('a', 2), source('b', 1, counting(500, 10_000))];
    expect(mix(sources).next(7)).toEqual(
      Uint32Array.from(draw(mix(sources), 7).flatMap(({ tokens }) => Array.from(tokens))),
    );
  });

  test('the target comes in the same order with and without replay', () => {
    const target = source('target', 1, counting(300));
    const replay = source('replay', 1, counting(5000, 10_000));
    const alone = draw(mix([target]), 100);
    for (const sources of [
      [target, replay],
      [{ ...replay, weight: 0.3 }, target, source('more', 0.2)],
    ]) {
      const index = sources.indexOf(target);
      const beside = draw(mix(sources), 400).filter(({ source }) => source === index);
      expect(beside.length).toBeGreaterThan(100);
      expect(beside.slice(0, 100).map(({ tokens }) => tokens)).toEqual(alone.map(({ tokens }) => tokens));
    }
  });

  test('the seed and the name decide the order', () => {
    const first = (name: string, seed: number) => mix([source(name, 1)], seed).next(10);
    expect(first('a', 5)).toEqual(first('a', 5));
    expect(first('a', 5)).not.toEqual(first('a', 6));
    expect(first('a', 5)).not.toEqual(first('b', 5));
  });
});

describe('resuming', () => {
  test.each([0, 1, 37, 123, 260])('goes on as if it had not stopped after %i', drawn => {
    const sources = [source('a', 1, counting(300)), source('b', 0.5, counting(700))];
    const through = mix(sources);
    draw(through, drawn);
    const resumed = mix(sources);
    resumed.restore(JSON.parse(JSON.stringify(through.state())) as ReturnType<Mixture['state']>);
    expect(resumed.epochs()).toEqual(through.epochs());
    expect(resumed.next(200)).toEqual(through.next(200));
  });

  test('a mixture that has moved on goes back', () => {
    const mixture = mix([source('a', 1, counting(100))]);
    const start = mixture.state();
    const first = mixture.next(50);
    mixture.restore(start);
    expect(mixture.next(50)).toEqual(first);
  });
});

describe('what cannot be mixed', () => {
  test.each([
    [[], /at least one source/],
    [[source('a', 0)], /source 'a': the weight must be a positive number, not 0/],
    [[source('a', Number.NaN)], /not NaN/],
    [[source('a', Infinity)], /not Infinity/],
    [[source('big', 1), source('a', 1, counting(8))], /source 'a' has 8 training tokens, fewer than one sequence of 9/],
  ])('%#', (sources, message) => {
    expect(() => mix(sources)).toThrow(UserError);
    expect(() => mix(sources)).toThrow(message);
  });

  test('exactly one sequence is enough', () => {
    expect(mix([source('a', 1, counting(9))]).next(2)).toHaveLength(18);
  });

  test('a state of other sources', () => {
    const mixture = mix([source('a', 1), source('b', 1)]);
    expect(() => mixture.restore({ drawn: [3] })).toThrow(/state is of 1 sources, the run has 2/);
  });
});
