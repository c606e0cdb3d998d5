import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { reportPage } from '../../src/report/page.js';
import { compareRuns, readRun } from '../../src/report/runs.js';
import { comparisonTable, milestones, short } from '../../src/report/words.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-report-'));
afterAll(() => rmSync(root, { recursive: true }));

/** A run whose French loss falls from `from` by half of what is left to 3 at each of `evaluations`. */
function makeRun(name: string, method: 'scratch' | 'cpt', from: number, evaluations: number): string {
  const folder = join(root, encodeURIComponent(name));
  mkdirSync(folder, { recursive: true });
  const source =
    method === 'cpt' ? { source: { name: 'english', tokens: 5000, flops: 5e9, tokensPerParameter: 20 } } : {};
  const config = {
    name,
    method,
    ...source,
    model: { hiddenSize: 64, numHiddenLayers: 2, vocabSize: 1000 },
    parameters: { total: 1e5, withoutEmbeddings: 5e4, nominal: 'tiny' },
    sources: [
      { name: 'fr', weight: 9 },
      { name: 'en', weight: 1 },
    ],
    tokens: 1000 * evaluations,
    contextLength: 128,
    batchTokens: 1000,
    schedule: { schedule: 'cosine', learningRate: 1e-3, warmup: 0.05 },
    seed: 0,
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const lines = Array.from({ length: evaluations + 1 }, (_, i) => {
    const at = { step: i, tokens: 1000 * i, flops: 6e8 * i };
    const heldOut = { fr: { loss: 3 + (from - 3) / 2 ** i, tokens: 99 }, en: { loss: 5 + 0.1 * i, tokens: 99 } };
    const step = { kind: 'step', ...at, loss: 4, gradientNorm: 1, learningRate: 1e-3, tokensPerSecond: 3000 };
    return `${i > 0 ? `${JSON.stringify(step)}\n` : ''}${JSON.stringify({ kind: 'evaluation', ...at, heldOut })}\n`;
  });
  writeFileSync(join(folder, 'metrics.jsonl'), lines.join(''));
  return folder;
}

describe('reading runs', () => {
  test('a last line that a crash cut off is left out', () => {
    const folder = makeRun('cut', 'scratch', 7, 3);
    appendFileSync(join(folder, 'metrics.jsonl'), '{"kind":"step","st');
    expect(readRun(folder).evaluations).toHaveLength(4);
  });

  test('another bad line is named, and so is a folder without a run', () => {
    const folder = makeRun('bad', 'scratch', 7, 3);
    appendFileSync(join(folder, 'metrics.jsonl'), '{"kind":"step"}\n');
    expect(() => readRun(folder)).toThrow(/metrics.jsonl' line 8 is not a metric/);
    expect(() => readRun(root)).toThrow(/is not the folder of a run: it has no config.json/);
  });
});

describe('the report', () => {
  const runs = [makeRun('french', 'scratch', 7, 4), makeRun('french-cpt', 'cpt', 5, 4)].map(readRun);

  test('pairs scratch and CPT runs of one size and language', () => {
    const [comparison, ...others] = compareRuns(runs);
    expect(others).toEqual([]);
    expect(comparison!.language).toBe('fr');
    // scratch ends at 3.25; CPT starts at 5 and is there after three halvings
    expect(comparison!.savings.savedTokens).toBeCloseTo(1 / 4, 10);
  });

  test('the terminal table says what was saved and what was forgotten', () => {
    const table = comparisonTable(runs);
    expect(table).toContain(
      "'french-cpt' reached the fr loss of 3.250 that 'french' reached with 4k tokens after 3k: 25% of the tokens and 25% of the FLOPs saved",
    );
    expect(table).toContain("The en loss of 'french-cpt' rose from 5.000 to 5.400.");
  });

  test('the page stands alone and shows every run', () => {
    const page = reportPage(runs, 'Title');
    expect(page.replaceAll(/xmlns(:\w+)?="[^"]*"/g, '')).not.toMatch(/https?:|src=|href=/);
    expect(page).not.toMatch(/NaN|Infinity|undefined/);
    for (const name of ['french', 'french-cpt']) expect(page).toContain(`>${name}<`);
    expect(page.match(/<svg/g)).toHaveLength(4 + 4);
  });

  test('names cannot inject markup', () => {
    const page = reportPage([readRun(makeRun('<script>alert(1)</script>', 'scratch', 7, 2))], '<b>&');
    expect(page).not.toContain('<script>');
    expect(page).toContain('&#60;b&#62;&#38;');
  });

  test('a run that has only begun, and one without steps', () => {
    const folder = makeRun('begun', 'scratch', 7, 0);
    expect(reportPage([readRun(folder)], 'T')).toContain('begun');
    writeFileSync(join(folder, 'metrics.jsonl'), '');
    expect(reportPage([readRun(folder)], 'T')).toContain('begun');
  });
});

test('milestones keep the first and the last evaluation', () => {
  const run = readRun(makeRun('long', 'scratch', 7, 40));
  const tokens = milestones(run, 6).map(evaluation => evaluation.tokens);
  expect(tokens).toEqual([0, 8000, 16000, 24000, 32000, 40000]);
});

test('numbers are shortened with three digits', () => {
  expect([0, 999, 1234, 1.5e6, 2.345e12].map(short)).toEqual(['0', '999', '1.23k', '1.5M', '2.35T']);
});
