/** What is said of a run's schedule before it starts, against the rates that its steps get. */
import { expect, test } from 'vitest';
import { schedulePhases, showSchedule } from '../../src/cli/show-run.js';
import { learningRateAt, SCHEDULES } from '../../src/optim/schedule.js';
import type { ResolvedRun } from '../../src/run/resolved.js';

const settings = {
  learningRate: 1e-3,
  warmup: 0.05,
  minLearningRateRatio: 0.1,
  decay: 0.2,
  cooldown: 0.25,
  constantLearningRateRatio: 0.5,
  cooldownShape: 'cosine',
  annealShape: 'exponential',
} as const;

test.each(SCHEDULES)('the phases of %s are whole, and each is what its steps do', schedule => {
  for (const steps of [1, 2, 3, 10, 97, 1000]) {
    const run = { schedule: { ...settings, schedule }, steps };
    const phases = schedulePhases(run);
    expect(phases.reduce((sum, phase) => sum + phase.steps, 0)).toBe(steps);
    let step = 0;
    for (const { phase, steps: count, to } of phases) {
      const rates = Array.from({ length: count }, (_, i) => learningRateAt(run.schedule, step + i + 1, steps));
      step += count;
      expect(rates.at(-1)).toBe(to);
      const changes = rates.slice(1).map((rate, i) => Math.sign(rate - rates[i]!));
      const expected = phase === 'warm-up' ? 1 : phase === 'constant' ? 0 : -1;
      expect(new Set(changes).size === 0 || new Set(changes).has(expected), `${phase} of ${steps}`).toBe(true);
      expect(new Set(changes).size, `${phase} of ${steps}: ${rates}`).toBeLessThanOrEqual(1);
    }
  }
});

test('in words', () => {
  const run = { schedule: { ...settings, schedule: 'wsd' }, steps: 100 } as ResolvedRun;
  expect(showSchedule(run)).toBe(
    'learning rate: wsd, warm-up to 0.001 in 5 steps, constant at 0.001 in 75 steps, linear decay to 0.0001 in 20 steps',
  );
});
