/** What a run's evaluations take by default, and what is obeyed. */
import { describe, expect, test } from 'vitest';
import { chooseEvaluations, evaluationBatch, evaluationCost, evaluationShape } from '../../src/run/evaluations.js';
import { passesOf, repeatNotes } from '../../src/run/repeats.js';

interface Case {
  readonly tokens: number;
  readonly batchTokens?: number;
  readonly contextLength?: number;
  readonly microBatch?: number;
  readonly heldOut: Readonly<Record<string, number>>;
}

const planOf = (run: Case, given: { evalEveryTokens?: number; evalTokens?: number; emaDecay?: number } = {}) => {
  const { tokens, batchTokens = 2048, contextLength = 128, microBatch = 16, heldOut } = run;
  const sizes = { tokens, steps: tokens / batchTokens, contextLength, microBatch };
  const plan = chooseEvaluations(given, { ...sizes, heldOut: new Map(Object.entries(heldOut)) });
  const cost = evaluationCost({ ...sizes, ...plan, emaDecay: given.emaDecay, flopsPerToken: 6e6 })!;
  return { ...plan, share: cost.shareOfTraining, flops: cost.flops };
};

describe('by default', () => {
  test.each([10, 13, 25, 49, 100, 333, 3000, 60_000])(
    '%i steps spend less than a tenth, whatever is held out',
    steps => {
      for (const microBatch of [1, 2, 3, 4, 5, 7, 12, 16]) {
        for (const held of [40, 127, 1000, 8191, 100_000, 3_000_000]) {
          for (const others of [[], [8191], [500, 77]]) {
            const heldOut = Object.fromEntries([held, ...others].map((count, i) => [`language ${i}`, count]));
            const given = { tokens: 2048 * steps, microBatch, heldOut };
            const { share, evaluations, evaluation } = planOf(given);
            const what = JSON.stringify({ microBatch, heldOut });
            expect(share, what).toBeLessThanOrEqual(0.1);
            // with an average of weights two models are evaluated, of at least one sequence at both ends of the run
            const least = (2 * 2 * 128 * Object.keys(heldOut).length) / 3 / given.tokens;
            expect(planOf(given, { emaDecay: 0.99 }).share, what).toBeLessThanOrEqual(Math.max(0.1, least));
            expect(evaluations, what).toBeGreaterThanOrEqual(1);
            expect(evaluations, what).toBeLessThanOrEqual(Math.min(20, steps));
            for (const language of Object.keys(heldOut)) expect(evaluation.tokens[language], what).toBeGreaterThan(0);
          }
        }
      }
    },
  );

  test('a long run is evaluated twenty times on all that is held out', () => {
    expect(planOf({ tokens: 2048 * 5000, heldOut: { en: 8191, fr: 8191 } })).toMatchObject({
      evaluations: 20,
      evalTokens: null,
      evaluation: { tokens: { en: 8191, fr: 8191 }, batch: 16 },
    });
  });

  test('of much text the first tokens are taken, of little budget fewer looks, then fewer tokens', () => {
    const heldOut = { en: 100_000, fr: 100_000 };
    // by hand: 0.24 of the budget in forward tokens, half for each language: 9600, 2880 and 94 sequences of 128
    expect(planOf({ tokens: 2048 * 5000, heldOut })).toMatchObject({ evaluations: 20, evalTokens: 58_496 });
    expect(planOf({ tokens: 2048 * 1500, heldOut })).toMatchObject({ evaluations: 10, evalTokens: 33_408 });
    expect(planOf({ tokens: 2048 * 49, heldOut })).toMatchObject({
      evaluations: 8,
      evalTokens: 1280,
      evaluation: { tokens: { en: 1280, fr: 1280 }, batch: 10 },
    });
  });

  test('runs of one budget and data have the same steps and tokens, whatever their micro-batch', () => {
    const plans = [1, 3, 8, 16].map(microBatch => {
      const run = { tokens: 2048 * 49, microBatch, heldOut: { en: 8191, fr: 8191 } };
      const { evaluations, evalTokens, evaluation } = planOf(run);
      return { evaluations, evalTokens, tokens: evaluation.tokens };
    });
    for (const plan of plans) expect(plan).toEqual(plans[0]);
  });
});

describe('what is given is obeyed', () => {
  const run = { tokens: 2048 * 49, heldOut: { en: 8191, fr: 8191 } };

  test('both, at any price, and the price is told', () => {
    const { share, flops, ...plan } = planOf(run, { evalEveryTokens: (2048 * 49) / 20, evalTokens: 100_000 });
    expect(plan).toMatchObject({ evaluations: 20, evalTokens: 100_000, evaluation: { tokens: run.heldOut } });
    // 21 times 64 sequences of each language, a third of the price
    expect(share).toBeCloseTo((21 * 2 * 64 * 128) / 3 / (2048 * 49), 12);
    expect(flops).toBeCloseTo(share * 2048 * 49 * 6e6, 0);
  });

  test('one, and the other fits the budget', () => {
    const often = planOf(run, { evalEveryTokens: 2048 });
    expect(often).toMatchObject({ evaluations: 49 });
    expect(often.share).toBeLessThan(0.1);
    const much = planOf(run, { evalTokens: 4096 });
    expect(much).toMatchObject({ evaluations: 1, evalTokens: 4096 });
  });
});

test('a batch of evaluation leaves few places empty', () => {
  expect([1, 10, 16, 17, 33, 64].map(sequences => evaluationBatch(sequences, 16))).toEqual([1, 10, 16, 9, 11, 16]);
  for (let micro = 1; micro <= 32; micro++) {
    for (let sequences = 1; sequences <= 400; sequences++) {
      const batch = evaluationBatch(sequences, micro);
      const computed = Math.ceil(sequences / batch) * batch;
      expect(batch, `${sequences} of ${micro}`).toBeLessThanOrEqual(micro);
      expect(computed / sequences, `${sequences} of ${micro}`).toBeLessThanOrEqual(1.2);
    }
  }
});

test('a run from before evaluations were recorded keeps the batch of its training, and its cost is not known', () => {
  const early = { evaluations: 20, tokens: 4096, flopsPerToken: 6, microBatch: 4, contextLength: 32 };
  expect(evaluationShape(early)).toEqual({ B: 4, T: 32 });
  expect(evaluationCost(early)).toBeUndefined();
  expect(evaluationShape({ ...early, evaluation: { tokens: { en: 40 }, batch: 2 } })).toEqual({ B: 2, T: 32 });
});

test('passes over each source, and a warning beyond four', () => {
  const sources = [
    { name: 'fr', path: 'data/fr', weight: 9, trainTokens: 1000 },
    { name: 'en', path: 'data/en', weight: 1, trainTokens: 500 },
  ];
  expect(passesOf({ sources, tokens: 5000 }).map(({ passes }) => passes)).toEqual([4.5, 1]);
  expect(repeatNotes({ sources, tokens: 5000 })).toEqual([
    expect.stringMatching(
      /^warning: the budget goes 4\.5 times through the training tokens of 'fr' \(data\/fr\).*2305\.16264/,
    ),
  ]);
  expect(repeatNotes({ sources, tokens: 4000 })).toEqual([]);
});
