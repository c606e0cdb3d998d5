/** What is said and drawn of probes. */
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { reportPage } from '../../src/report/page.js';
import { probeFindings } from '../../src/report/probes.js';
import { readRun } from '../../src/report/runs.js';
import { writeRun } from '../support/runs.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-probes-'));
afterAll(() => rmSync(root, { recursive: true }));

/** A run whose en tokens were probed twice, with these accuracies of copying over 1,000 tokens. */
function probedRun(name: string, copying: readonly number[], checkpoint?: string) {
  const folder = writeRun(root, {
    name,
    ...(checkpoint !== undefined && { checkpoint }),
    sources: { fr: 1 },
    heldOut: { fr: [6, 5], en: [4, 3.5] },
  });
  copying.forEach((accuracy, step) => {
    const copy = { accuracy, loss: 1, firstLoss: 5, tokens: 1000, chance: 1 / 128 };
    const induction = { ...copy, accuracy: 0.5, tokens: 256, chance: 1 / 192 };
    const line = { kind: 'probe', step, tokens: 1000 * step, flops: 6e8 * step, probes: { en: { copy, induction } } };
    appendFileSync(join(folder, 'metrics.jsonl'), `${JSON.stringify(line)}\n`);
  });
  return readRun(folder);
}

test('a CPT run that copies worse is told what helps, one that may not copy worse is not', () => {
  const said = (name: string, copying: number[], checkpoint?: string) =>
    probeFindings([probedRun(name, copying, checkpoint)]);
  expect(said('lost', [0.82, 0.31], 'x/y/z')).toEqual([
    "With en tokens, 'lost': loss fell from 4.000 to 3.500, copying fell from 0.82 to 0.31 (chance 0.008), " +
      'induction stayed at 0.50 (chance 0.005): replay source text, above all early, or average the weights with ' +
      "those of the source ('babelgrad merge').",
  ]);
  // over 1,000 tokens each, 0.8 and 0.78 are 1.1 standard errors apart
  expect(said('kept', [0.8, 0.78], 'x/y/z')[0]).toMatch(/copying fell from 0.80 to 0.78 .*chance 0.005\)\.$/);
  expect(said('scratch', [0.82, 0.31])[0]).not.toContain('replay');
  expect(said('once', [0.5], 'x/y/z')).toEqual([]);
});

test('the page draws the probes of all runs, by language and task', () => {
  const runs = [probedRun('a', [0.1, 0.9], 'x/y/z'), probedRun('b', [0.1, 0.2], 'x/y/z')];
  const page = reportPage(runs, 'Title');
  expect(page).toContain('<h2>In context: copying and induction</h2>');
  expect(page).toContain('copy of en tokens (accuracy)');
  expect(page).toContain('induction of en tokens (accuracy)');
  expect(page).toContain('a\n1k tokens\ncopy 0.9000\nloss 1.0000, where nothing foretells it 5.0000');
  expect(page).not.toMatch(/NaN|undefined/);
});
