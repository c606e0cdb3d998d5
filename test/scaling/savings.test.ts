import { describe, expect, test } from 'vitest';
import { firstReaches, savingsAt, savingsAtEqualLoss } from '../../src/scaling/savings.js';

const curve = (...points: [tokens: number, loss: number][]) =>
  points.map(([tokens, loss]) => ({ tokens, flops: 10 * tokens, loss }));

describe('where a curve first reaches a loss', () => {
  test('is interpolated between the evaluations around it', () => {
    expect(firstReaches(curve([0, 6], [100, 4], [200, 3]), 3.25)).toEqual({ tokens: 175, flops: 1750 });
  });

  test('is the first evaluation where that is low enough already', () => {
    expect(firstReaches(curve([0, 4], [100, 3]), 5)).toEqual({ tokens: 0, flops: 0 });
  });

  test('is nowhere when no evaluation is that low', () => {
    expect(firstReaches(curve([0, 6], [100, 4]), 3.99)).toBeUndefined();
  });
});

describe('savings at equal loss', () => {
  const scratch = curve([0, 8], [100, 5], [200, 4]);

  test('compare at the best loss that scratch reached', () => {
    const savings = savingsAtEqualLoss(scratch, curve([0, 6], [100, 3]));
    expect(savings).toMatchObject({ loss: 4, scratch: { tokens: 200 } });
    expect(savings!.cpt!.tokens).toBeCloseTo(200 / 3, 10);
    expect(savings!.savedTokens).toBeCloseTo(2 / 3, 10);
    expect(savings!.savedFlops).toBeCloseTo(2 / 3, 10);
  });

  test('are negative where CPT took longer', () => {
    expect(savingsAtEqualLoss(scratch, curve([0, 9], [400, 4]))!.savedTokens).toBeCloseTo(-1, 10);
  });

  test('are not known where CPT never got there', () => {
    const savings = savingsAtEqualLoss(scratch, curve([0, 6], [400, 4.5]))!;
    expect(savings.cpt).toBeUndefined();
    expect(savings.savedTokens).toBeUndefined();
  });

  test('need both curves', () => {
    expect(savingsAtEqualLoss([], scratch)).toBeUndefined();
    expect(savingsAtEqualLoss(scratch, [])).toBeUndefined();
    expect(() => savingsAt(scratch, scratch, 1)).toThrow(/never reaches a loss of 1/);
  });
});
