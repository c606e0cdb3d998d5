/** Against `paper/oracle.json`: values of the reference study's laws, computed apart from this code. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { packageRoot } from '../../src/files.js';
import { allocate, computeForLoss, computeOf, hasOptimum } from '../../src/scaling/allocation.js';
import { lossAt, tokensForLoss } from '../../src/scaling/law.js';
import { makePlan, type PlannedLaw } from '../../src/scaling/plan.js';
import { publishedLaws } from '../../src/scaling/published.js';
import { savedAtOptimum, tokensWhereAhead, transferAt } from '../../src/scaling/transfer.js';
import { cptLaw, scratchLaw } from '../support/laws.js';

interface Oracle {
  allocation: ({ C: number } & Record<'scratch' | 'cpt', Record<string, number>>)[];
  transfer: Record<string, number>[];
  cpt_consistent_with_claims: { B: number };
}
const oracle = JSON.parse(readFileSync(join(packageRoot, 'test/fixtures/paper/oracle.json'), 'utf8')) as Oracle;
const consistent = { ...cptLaw, B: oracle.cpt_consistent_with_claims.B };
const published = (name: string): PlannedLaw => publishedLaws.get(name)!;
const laws = { scratch: scratchLaw, cpt: cptLaw };

/** Within 1e-9 of it: the oracle has 16 digits. */
function expectNear(found: number, expected: number, what = ''): void {
  expect(Math.abs(found / expected - 1), `${what}: ${found} for ${expected}`).toBeLessThan(1e-9);
}

describe('the best split of compute', () => {
  const cases = oracle.allocation.flatMap(({ C, scratch, cpt }) => [
    [C, 'scratch', scratch] as const,
    [C, 'cpt', cpt] as const,
  ]);

  test.each(cases)('for %d FLOPs by the paper, %s', (C, strategy, expected) => {
    const found = allocate(laws[strategy], C);
    for (const name of ['G', 'a', 'b', 'N_opt', 'D_opt', 'loss'] as const)
      expectNear(found[name], expected[name]!, name);
  });

  test.each([scratchLaw, cptLaw, published('chinchilla').parameters])('is a minimum along C = 6·N·D', law => {
    const C = 3e20;
    const { N_opt, D_opt, loss } = allocate(law, C);
    expectNear(6 * N_opt * D_opt, C);
    for (const factor of [0.5, 0.98, 1.02, 2])
      expect(lossAt(law, N_opt * factor, D_opt / factor)).toBeGreaterThan(loss);
  });

  test('turns round: compute from tokens, from parameters, from loss', () => {
    const { C, N_opt, D_opt, loss } = allocate(cptLaw, 7e21);
    expectNear(computeOf(cptLaw, { tokens: D_opt }), C);
    expectNear(computeOf(cptLaw, { parameters: N_opt }), C);
    expectNear(computeOf(cptLaw, { tokens: 10, parameters: 20 }), 1200);
    expectNear(computeForLoss(cptLaw, loss)!, C);
    expect(computeForLoss(cptLaw, 1.55)).toBeUndefined();
  });

  test('is refused where there is none', () => {
    const law = { ...cptLaw, gamma: 0.25 };
    expect(hasOptimum(law)).toBe(false);
    expect(() => allocate(law, 1e20)).toThrow(/no best split of compute.*beta 0.2, gamma 0.25/);
    // more compute, fewer tokens: no compute has these tokens as its optimum
    expect(() => computeOf({ ...cptLaw, alpha: 0.05 }, { tokens: 1e9 })).toThrow(
      /with alpha 0.05 not above gamma 0.08/,
    );
    expect(() => computeOf(cptLaw, {})).toThrow(/give compute, tokens or parameters/);
    expect(() => computeOf(cptLaw, { compute: 1, tokens: 1 })).toThrow(/give compute, or/);
  });
});

describe('transfer', () => {
  test.each(oracle.transfer.map(row => [row.N!, row] as const))('at %d parameters by the paper', (N, row) => {
    const found = transferAt(scratchLaw, cptLaw, N, row.D_cpt!);
    expectNear(found.loss, row.loss_cpt!);
    expectNear(found.lossScratch, row.loss_scratch!);
    expectNear(found.scratchTokens!, row.D_scratch_equal_loss!);
    expectNear(found.effectivelyTransferred!, row.effectively_transferred!);
    expectNear(found.flopsSaved!, row.flops_saved!);
  });

  test('of the inferred law has what the paper claims: 70B for 110B at 5.5B, 46% to 26% saved', () => {
    expect(transferAt(scratchLaw, consistent, 5.5e9, 70e9).scratchTokens! / 110e9).toBeCloseTo(1, 2);
    expect(transferAt(scratchLaw, consistent, 50e6, 1e9).flopsSaved).toBeCloseTo(0.46, 2);
    expect(transferAt(scratchLaw, consistent, 5.5e9, 110e9).flopsSaved).toBeCloseTo(0.26, 2);
  });

  test('puts CPT ahead up to 159.4·N^0.8 tokens by the printed law', () => {
    const D = tokensWhereAhead(scratchLaw, cptLaw, 1e9)!;
    expect(D / 1e9 ** 0.8).toBeCloseTo(159.4, 1);
    expect(transferAt(scratchLaw, cptLaw, 1e9, 0.99 * D).flopsSaved).toBeGreaterThan(0);
    expect(transferAt(scratchLaw, cptLaw, 1e9, 1.01 * D).flopsSaved).toBeLessThan(0);
    expect(tokensWhereAhead({ ...scratchLaw, E: 1.6 }, cptLaw, 1e9)).toBeUndefined();
  });

  test('knows no tokens for a loss that scratch never reaches', () => {
    const better = { ...cptLaw, E: 1 };
    expect(tokensForLoss(scratchLaw, 1e9, 1.6)).toBeUndefined();
    expect(transferAt(scratchLaw, better, 1e9, 1e13)).toMatchObject({ scratchTokens: null, flopsSaved: null });
    expect(savedAtOptimum(scratchLaw, better, 1e26)).toBeUndefined();
  });

  test('between the optima compares compute at equal loss', () => {
    const saved = savedAtOptimum(scratchLaw, consistent, 1e18)!;
    expectNear(allocate(scratchLaw, 1e18 / (1 - saved)).loss, allocate(consistent, 1e18).loss);
  });
});

describe('a plan', () => {
  const others = [published('paper-scratch'), published('paper-cpt-consistent')];

  test('gives the others the same compute, and shows negative savings as negative', () => {
    const plan = makePlan({ compute: 1e21 }, published('paper-cpt'), others);
    expect(plan.law).toBe('paper-cpt');
    expect(plan.others.map(({ law, C }) => [law, C])).toEqual([
      ['paper-scratch', 1e21],
      ['paper-cpt-consistent', 1e21],
    ]);
    expect(plan.savings.map(({ cpt, scratch }) => [cpt, scratch])).toEqual([
      ['paper-cpt', 'paper-scratch'],
      ['paper-cpt-consistent', 'paper-scratch'],
    ]);
    expect(plan.savings[0]!.flopsSaved).toBeLessThan(-1);
    expect(plan.lossInterval).toBeNull();
    const warnings = plan.warnings.join('\n');
    expect(warnings).toMatch(/results carry that rounding/);
    expect(warnings).toMatch(/'paper-cpt' contradicts the paper's own finding/);
    expect(warnings).toMatch(/'paper-cpt-consistent' is inferred, not printed/);
    expect(warnings).toMatch(/extrapolation: the optimum of 'paper-cpt' has 2.92e11 tokens .*510 tokens per parameter/);
    expect(new Set(plan.warnings).size).toBe(plan.warnings.length);
  });

  test('of a run that is given compares that very run', () => {
    const [row] = oracle.transfer;
    const plan = makePlan({ parameters: row!.N!, tokens: row!.D_cpt! }, published('paper-cpt'), others);
    expectNear(plan.C, 6 * row!.N! * row!.D_cpt!);
    expectNear(plan.given!.loss, row!.loss_cpt!);
    expectNear(plan.savings[0]!.flopsSaved!, row!.flops_saved!);
    expect(plan.warnings.join()).not.toMatch(/the given run/);
    const far = makePlan({ parameters: 1e12, tokens: 1e12 }, published('paper-cpt'), others);
    expect(far.warnings.join()).toMatch(/the given run of 'paper-cpt' has 1.00e12 parameters/);
  });

  test('has intervals from the bootstrap of its law', () => {
    const factors = Array.from({ length: 201 }, (_, i) => 0.9 + i / 1000);
    const vary = (law: PlannedLaw): PlannedLaw => ({
      ...law,
      samples: factors.map(f => ({ ...law.parameters, A: f * law.parameters.A })),
    });
    const plan = makePlan({ compute: 1e19 }, vary(published('paper-cpt')), [vary(published('paper-scratch'))]);
    const { N_opt, D_opt, A, E, B } = { ...plan, ...cptLaw };
    const lossWith = (f: number) => E + (f * A) / N_opt ** 0.4 + B / (D_opt ** 0.2 * N_opt ** 0.08);
    // the 2.5% and 97.5% quantiles of the factors
    expectNear(plan.lossInterval![0], lossWith(0.905));
    expectNear(plan.lossInterval![1], lossWith(1.095));
    expectNear(plan.N_optInterval![1], N_opt * 1.095 ** (1 / (0.4 + 0.2 - 0.08)));
    const [saved] = plan.savings;
    expect(saved!.flopsSavedInterval![0]).toBeLessThanOrEqual(saved!.flopsSaved! + 1e-9);
    expect(saved!.flopsSavedInterval![1]).toBeGreaterThanOrEqual(saved!.flopsSaved! - 1e-9);
  });

  test('says when replicates of the bootstrap have no optimum', () => {
    const law = { ...published('paper-cpt'), samples: [cptLaw, { ...cptLaw, gamma: 0.3 }] };
    expect(makePlan({ compute: 1e19 }, law, []).warnings.join()).toMatch(/1 of the 2 bootstrap replicates/);
  });
});
