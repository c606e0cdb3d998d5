import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/errors.js';
import { learningRateAt, type ScheduleSettings, validateSchedule } from '../../src/optim/schedule.js';

const settings = (more: Partial<ScheduleSettings>): ScheduleSettings => ({
  schedule: 'cosine',
  learningRate: 8,
  warmup: 0.1,
  minLearningRateRatio: 0.125,
  decay: 0.2,
  cooldown: 0.4,
  constantLearningRateRatio: 0.5,
  cooldownShape: 'cosine',
  annealShape: 'exponential',
  ...more,
});
/** Rates of a run of 20 steps. */
const rates = (more: Partial<ScheduleSettings>) =>
  Array.from({ length: 20 }, (_, i) => learningRateAt(settings(more), i + 1, 20));

const close = (actual: readonly number[], expected: readonly number[]) => {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((rate, i) => {
    expect(rate, `number ${i}`).toBeCloseTo(expected[i]!, 12);
  });
};
const times = (count: number, value: number) => new Array<number>(count).fill(value);

describe('learning rates', () => {
  test('constant: two steps of warm-up, then the peak', () => {
    close(rates({ schedule: 'constant' }), [4, ...times(19, 8)]);
  });

  test('cosine: half of the way in the middle, the minimum in the last step', () => {
    const cosine = rates({});
    close([cosine[0]!, cosine[1]!, cosine[10]!, cosine[19]!], [4, 8, 4.5, 1]); // step 11: 9 of 18 steps after warm-up
  });

  test('wsd: the peak up to the last four steps, which go down to the minimum in equal steps', () => {
    close(rates({ schedule: 'wsd' }), [4, ...times(15, 8), 6.25, 4.5, 2.75, 1]);
  });

  test('infinite: warm-up, a cosine to the constant, the constant, and an exponential anneal to the minimum', () => {
    // eight steps of cool-down: 4 + 4·(1 + cos(πi/8))/2; then 4·(1/4)^(i/4) in four steps
    const cosine = [1, 2, 3, 4, 5, 6, 7].map(i => 4 + 2 * (1 + Math.cos((i * Math.PI) / 8)));
    const half = Math.SQRT1_2;
    expect(cosine[1]).toBeCloseTo(6 + 2 * half, 12);
    expect(cosine[3]).toBeCloseTo(6, 12);
    const annealed = [4 * half, 2, 2 * half, 1];
    close(rates({ schedule: 'infinite' }), [4, 8, ...cosine, ...times(7, 4), ...annealed]);
  });

  test('infinite: the other shapes', () => {
    const other = rates({ schedule: 'infinite', cooldownShape: 'inverse-sqrt', annealShape: 'linear' });
    // halfway: 1/√6 against 1 and 1/√11
    const halfway = (1 / Math.sqrt(6) - 1 / Math.sqrt(11)) / (1 - 1 / Math.sqrt(11));
    close([other[5]!, other[9]!], [4 + 4 * halfway, 4]);
    for (let i = 2; i < 10; i++) expect(other[i]).toBeLessThan(other[i - 1]!);
    close(other.slice(15), [4, 3.25, 2.5, 1.75, 1]);
  });

  test('infinite without cool-down or anneal stays where it is', () => {
    close(rates({ schedule: 'infinite', cooldown: 0, decay: 0 }), [4, 8, ...times(18, 4)]);
  });

  test('anneal: from the given rate down, without warm-up, to the minimum', () => {
    const exponential = rates({ schedule: 'anneal', annealShape: 'exponential', minLearningRateRatio: 2 ** -10 });
    close(
      exponential,
      Array.from({ length: 20 }, (_, i) => 8 * Math.SQRT1_2 ** (i + 1)),
    );
    const linear = rates({ schedule: 'anneal', annealShape: 'linear', minLearningRateRatio: 0 });
    close(
      linear,
      Array.from({ length: 20 }, (_, i) => 8 - 0.4 * (i + 1)),
    );
  });

  test('a branch that anneals over as many steps has the rates of the run that it stands in for', () => {
    const trunk = rates({ schedule: 'infinite' });
    const branch = settings({ schedule: 'anneal', learningRate: 4, minLearningRateRatio: 0.25 });
    close(
      [1, 2, 3, 4].map(step => learningRateAt(branch, step, 4)),
      trunk.slice(16),
    );
  });

  test('what does not fit together', () => {
    const refuses = (more: Partial<ScheduleSettings>, message: RegExp) => {
      expect(() => validateSchedule(settings(more))).toThrow(message);
      expect(() => validateSchedule(settings(more))).toThrow(UserError);
    };
    refuses({ schedule: 'wsd', decay: 0.95 }, /warmup 0.1 and decay 0.95 are more than the whole run/);
    refuses({ schedule: 'infinite', cooldown: 0.8 }, /warmup 0.1, cooldown 0.8 and decay 0.2 are more than the whole/);
    refuses({ schedule: 'infinite', minLearningRateRatio: 0.6 }, /0.6 is above constantLearningRateRatio 0.5/);
    refuses({ schedule: 'anneal', minLearningRateRatio: 0 }, /an exponential anneal never reaches 0/);
    refuses({ schedule: 'infinite', minLearningRateRatio: 0 }, /or annealShape: linear/);
    validateSchedule(settings({ schedule: 'infinite', minLearningRateRatio: 0, annealShape: 'linear' }));
    validateSchedule(settings({ schedule: 'infinite', minLearningRateRatio: 0, decay: 0 }));
  });
});
