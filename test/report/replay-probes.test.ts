/** What a plan says of probes in the points of a study. */
import { expect, test } from 'vitest';
import { probeTask } from '../../src/eval/probe.js';
import { MEASURED, replayProbeFindings } from '../../src/report/replay-probes.js';
import type { Point } from '../../src/scaling/points.js';

const size = { parameters: 1e6, loss: 3 };
const cpt = (run: string, replay: number, tokens: number, sourceCopy: number, sourceInduction: number): Point => ({
  ...{ ...size, strategy: 'cpt', run, replay, tokens, sourceCopy, sourceInduction, sourceTokensPerParameter: 20 },
});
const sourceAt = (tokens: number, copy: number, induction: number): Point => ({
  ...{ ...size, strategy: 'source', run: 'source', tokens, copy, induction },
});
const points = [
  cpt('a', 0, 1e6, 0.6, 0.02),
  cpt('a', 0, 1e7, 0.3, 0.01),
  cpt('a-seed1', 0, 1e7, 0.32, 0.02),
  cpt('b', 0.1, 1e7, 0.75, 0.03),
];
const sources = [sourceAt(1e7, 0.5, 0.01), sourceAt(2e7, 0.82, 0.02), sourceAt(4e7, 0.9, 0.02)];

test('copying that CPT cost is said by share of replay, from the end of the source that it began at', () => {
  expect(replayProbeFindings(points, sources, 1e6)).toEqual([
    'CPT of 1M parameters, source tokens: copying fell from 0.82 to 0.31 without replay, to 0.75 with 10%: replay ' +
      "source text, above all early, or average the weights with those of the source ('babelgrad merge')",
  ]);
});

test('without the source the ends alone are said; of chance, of another size and without probes nothing', () => {
  expect(replayProbeFindings(points, [], 1e6)).toEqual([
    'CPT of 1M parameters, source tokens: copying was 0.31 without replay, 0.75 with 10%',
  ]);
  expect(replayProbeFindings(points, sources, 2e6)).toEqual([]);
  expect(replayProbeFindings([{ ...size, tokens: 1e7, replay: 0 }], sources, 1e6)).toEqual([]);
});

test('one that stayed within the error of so few tokens gets no advice', () => {
  const [finding] = replayProbeFindings([cpt('a', 0, 1e7, 0.8, 0.02)], [sourceAt(2e7, 0.82, 0.02)], 1e6);
  expect(finding).toMatch(/copying fell from 0.82 to 0.80 without replay$/);
});

test('the accuracies are shares of about as many tokens as a probe measures', () => {
  for (const task of ['copy', 'induction'] as const) {
    const { measured } = probeTask(
      task,
      Uint32Array.from({ length: 1000 }, (_, i) => i),
      255,
    );
    expect(measured.length / MEASURED[task]).toBeGreaterThan(0.9);
    expect(measured.length / MEASURED[task]).toBeLessThan(1.1);
  }
});
