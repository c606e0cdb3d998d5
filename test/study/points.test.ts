/** The points of runs whose replay changes along them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { studyPoints } from '../../src/study/points.js';
import { readStudy } from '../../src/study/state.js';
import { makeRun, makeStudy } from '../support/study.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-points-'));
afterAll(() => rmSync(root, { recursive: true }));

test('replay is the mean share of the run, and target tokens are those drawn so far', async () => {
  const stages = [
    { until: 0.2, ratio: 0.3 },
    { until: 1, ratio: 0.02 },
  ];
  const plan = makeStudy(root, { sizes: [1e5], stages });
  const run = plan.runs.find(({ account }) => account === 'budget')!;
  makeRun(plan, run);
  const points = studyPoints(await readStudy(plan.folder)).filter(point => point.run === run.name);
  expect(points).toHaveLength(10);
  expect(new Set(points.map(({ replay }) => replay))).toEqual(new Set([0.076]));
  const tokens = 20 * 1e5;
  const replayed = points.map(point => point.tokens - point.targetTokens);
  const expected = points.map(
    (_, i) => Math.min(i + 1, 2) * 0.1 * 0.3 * tokens + Math.max(0, i - 1) * 0.1 * 0.02 * tokens,
  );
  expect(replayed).toEqual(expected.map(Math.round));
});
