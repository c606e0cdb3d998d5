/** Shares that change along a run: their means, and how they are recorded. */
import { describe, expect, test } from 'vitest';
import { meanShares, recordedWeights, shareSegments } from '../../src/data/shares.js';

const stages = [
  { until: 0.2, weight: 0.3 },
  { until: 1, weight: 0.02 },
];
const rest = stages.map(({ until, weight }) => ({ until, weight: 1 - weight }));

describe('mean shares', () => {
  test('of stages weigh each by its length, and grow exact along the run', () => {
    const sources = [{ weight: stages }, { weight: rest }];
    expect(meanShares(sources)[0]).toBeCloseTo(0.2 * 0.3 + 0.8 * 0.02, 14);
    expect(meanShares(sources, 0.1)[0]).toBeCloseTo(0.3, 14);
    expect(meanShares(sources, 0.6)[0]).toBeCloseTo((0.2 * 0.3 + 0.4 * 0.02) / 0.6, 14);
  });

  test('of a ramp are integrals of linear shares', () => {
    const ramp = [{ weight: [{ until: 1, weight: 0.4, to: 0 }] }, { weight: [{ until: 1, weight: 0.6, to: 1 }] }];
    expect(meanShares(ramp)[0]).toBeCloseTo(0.2, 14);
    expect(meanShares(ramp, 0.5)[0]).toBeCloseTo(0.3, 14); // from 0.4 to 0.2
  });

  test('of constant weights are their proportions, at every part', () => {
    for (const part of [0.1, 0.7, 1]) {
      expect(meanShares([{ weight: 3 }, { weight: 1 }], part)[0]).toBeCloseTo(0.75, 14);
    }
  });
});

test('segments end where a stage of any source ends, and a ramp goes on across them', () => {
  const sources = [{ weight: 1 }, { weight: stages }, { weight: [{ until: 1, weight: 0, to: 1 }] }];
  const [first, second] = shareSegments(sources);
  expect([first!.from, first!.until, second!.from, second!.until]).toEqual([0, 0.2, 0.2, 1]);
  expect(first!.end).toEqual([1, 0.3, 0.2].map(weight => weight / 1.5));
  expect(second!.start).toEqual([1, 0.02, 0.2].map(weight => weight / 1.22));
});

describe('what is recorded', () => {
  test('of constant weights are the weights as they are', () => {
    expect(recordedWeights([{ weight: 9 }, { weight: 0.1 }])).toEqual([{ weight: 9 }, { weight: 0.1 }]);
  });

  test('where one has stages, are the mean shares of all, and the stages', () => {
    const constant = [{ until: 1, weight: 1 }];
    const ramp = [{ until: 1, weight: 1, to: 0 }];
    const recorded = recordedWeights([{ weight: 1 }, { weight: ramp }]);
    expect(recorded).toEqual([
      { weight: 0.75, stages: constant },
      { weight: 0.25, stages: ramp },
    ]);
    expect(recordedWeights([{ weight: stages }, { weight: rest }])[0]).toEqual({ weight: 0.076, stages });
  });
});
