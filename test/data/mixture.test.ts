import { describe, expect, test } from 'vitest';
import { Mixture, type MixtureSource, type TokenSource } from '../../src/data/mixture.js';
import { meanShares, type Weight } from '../../src/data/shares.js';
import { UserError } from '../../src/errors.js';

/** Ids first, first + 1, …: a window tells where it is from. */
function counting(tokens: number, first = 0): TokenSource {
  return {
    trainTokens: tokens,
    readTrain: (start, count) => Uint32Array.from({ length: count }, (_, i) => first + start + i),
  };
}
const source = (name: string, weight: Weight, tokens = counting(1000)): MixtureSource => ({ name, weight, tokens });
const mix = (sources: MixtureSource[], seed = 5, contextLength = 8) => new Mixture(sources, { seed, contextLength });
const staged = (sources: MixtureSource[], sequences: number) =>
  new Mixture(sources, { seed: 5, contextLength: 8, sequences });
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

describe('shares that change', () => {
  const drop = (): MixtureSource[] => [
    source('fr', [
      { until: 0.25, weight: 7 },
      { until: 1, weight: 19 },
    ]),
    source('en', [
      { until: 0.25, weight: 3 },
      { until: 1, weight: 1 },
    ]),
  ];
  const countsOf = (mixture: Mixture, count: number) => {
    const drawn = mixture.sources.map(() => 0);
    for (const { source } of draw(mixture, count)) drawn[source]!++;
    return drawn;
  };

  test('are exact in each stage', () => {
    const mixture = staged(drop(), 400);
    expect(countsOf(mixture, 100)).toEqual([70, 30]);
    expect(countsOf(mixture, 300)).toEqual([285, 15]);
    expect(countsOf(mixture, 100)).toEqual([95, 5]); // beyond the end the last shares hold
  });

  test('are never off by more than a sequence, in stages and along a ramp', () => {
    const sources = [
      source('a', 1),
      source('b', [
        { until: 0.3, weight: 0 },
        { until: 0.8, weight: 0, to: 1 },
        { until: 1, weight: 2 },
      ]),
      source('c', [{ until: 1, weight: 0.5, to: 0.1 }]),
    ];
    const mixture = staged(sources, 500);
    const drawn = [0, 0, 0];
    for (let n = 1; n <= 500; n++) {
      drawn[mixture.nextSequence().source]!++;
      meanShares(sources, n / 500).forEach((share, i) => {
        expect(Math.abs(drawn[i]! - share * n), `${i} after ${n}`).toBeLessThan(1);
      });
      if (n === 150) expect(drawn[1]).toBe(0);
    }
    // b: a third of 0 … 1 of 1.5 … 2.2 parts, by hand: shares are linear between 0 and 1/2.26 (c has 0.26 at 0.8)
    expect(drawn[1]).toBe(Math.round(500 * (0.5 * (0.5 / (2 + 0.18)) + 0.2 * (2 / 3.18 + 2 / 3.1) * 0.5)));
  });

  test('a source whose share has ended comes no more, though a part of a sequence is due to it', () => {
    const sources = [
      source('fr', 1),
      source('en', [
        { until: 0.5, weight: 1 },
        { until: 1, weight: 0 },
      ]),
    ];
    const all = draw(staged(sources, 14), 14).map(({ source }) => source);
    expect(all).toEqual([0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  test('a weight in one stage draws what a number draws', () => {
    const weights = [3, 1];
    const constant = mix(weights.map((weight, i) => source(`${i}`, weight)));
    const one = staged(
      weights.map((weight, i) => source(`${i}`, [{ until: 1, weight }])),
      200,
    );
    expect(draw(one, 200)).toEqual(draw(constant, 200));
  });

  test.each([1, 99, 100, 101, 237])('go on as if they had not stopped after %i', drawn => {
    const through = staged(drop(), 400);
    draw(through, drawn);
    const resumed = staged(drop(), 400);
    resumed.restore(JSON.parse(JSON.stringify(through.state())) as ReturnType<Mixture['state']>);
    expect(resumed.next(200)).toEqual(through.next(200));
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

const stages = (...ends: number[]) => ends.map(until => ({ until, weight: 1 }));

describe('what cannot be mixed', () => {
  test.each([
    [[], /at least one source/],
    [[source('a', 0)], /source 'a': the weight must be a positive number, not 0/],
    [[source('a', Number.NaN)], /not NaN/],
    [[source('a', Infinity)], /not Infinity/],
    [[source('a', [])], /source 'a': the last stage must go until 1, the end of the run, and goes until 0/],
    [[source('a', [{ until: 0.5, weight: 1 }])], /must go until 1, the end of the run, and goes until 0.5/],
    [[source('a', stages(0.5, 0.4, 1))], /grows from stage to stage, up to 1, and 0.4 follows 0.5/],
    [[source('a', stages(0.5, 0.5, 1))], /0.5 follows 0.5/],
    [[source('a', stages(0.5, 1.5))], /up to 1, and 1.5 follows 0.5/],
    [[source('a', stages(0, 1))], /0 follows 0/],
    [[source('a', [{ until: 1, weight: -1 }])], /the weight of a stage must be 0 or more, not -1/],
    [[source('a', [{ until: 1, weight: 1, to: Number.NaN }])], /must be 0 or more, not NaN/],
    [[source('a', [{ until: 1, weight: 0 }]), source('b', 1)], /source 'a': some stage must have a weight above 0/],
    [[source('a', [{ until: 1, weight: 1, to: 0 }])], /no source has a weight above 0 at 100% of the run/],
    [[source('a', stages(1))], /weights in stages need the sequences of the run/, undefined],
    [[source('big', 1), source('a', 1, counting(8))], /source 'a' has 8 training tokens, fewer than one sequence of 9/],
  ] as [MixtureSource[], RegExp, undefined?][])('%#', (sources, message, ...given) => {
    const sequences = given.length > 0 ? undefined : 100;
    const make = () => new Mixture(sources, { seed: 5, contextLength: 8, sequences });
    expect(make).toThrow(UserError);
    expect(make).toThrow(message);
  });

  test('exactly one sequence is enough', () => {
    expect(mix([source('a', 1, counting(9))]).next(2)).toHaveLength(18);
  });

  test('a state of other sources', () => {
    const mixture = mix([source('a', 1), source('b', 1)]);
    expect(() => mixture.restore({ drawn: [3] })).toThrow(/state is of 1 sources, the run has 2/);
  });
});
