import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { comparisonTable } from '../../src/cli/comparison.js';
import { milestones } from '../../src/report/findings.js';
import { madeBy } from '../../src/report/made.js';
import { short } from '../../src/report/numbers.js';
import { reportPage } from '../../src/report/page.js';
import { spread } from '../../src/report/plots.js';
import { compareRuns, readRun } from '../../src/report/runs.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-report-'));
afterAll(() => rmSync(root, { recursive: true }));

/** A run whose French loss falls from `from` by half of what is left to 3 at each of `evaluations`. */
function makeRun(
  name: string,
  method: 'scratch' | 'cpt',
  from: number,
  evaluations: number,
  { vocabSize = 1000, bytesPerToken = undefined as number | undefined } = {},
): string {
  const folder = join(root, encodeURIComponent(name));
  mkdirSync(folder, { recursive: true });
  const source =
    method === 'cpt' ? { source: { name: 'english', tokens: 5000, flops: 5e9, tokensPerParameter: 2 } } : {};
  const config = {
    name,
    method,
    ...source,
    model: { hiddenSize: 64, numHiddenLayers: 2, vocabSize },
    tokenizer: `of ${vocabSize}`,
    parameters: { total: 4e4 + 60 * vocabSize, withoutEmbeddings: 5e4, nominal: 'tiny' },
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
    const losses = { fr: 3 + (from - 3) / 2 ** i, en: 5 + 0.1 * i };
    const heldOut = Object.fromEntries(
      Object.entries(losses).map(([language, loss]) => {
        const bits = bytesPerToken === undefined ? {} : { bitsPerByte: loss / bytesPerToken / Math.LN2 };
        return [language, { loss, tokens: 99, ...bits }];
      }),
    );
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
      "'french-cpt' reached the fr loss of 3.250 nats per token that 'french' reached with 4k tokens after 3k: 25% of the tokens and 25% of the FLOPs saved",
    );
    expect(table).toContain("The en loss of 'french-cpt' rose from 5.000 to 5.400 nats per token.");
  });

  test('the page stands alone and shows every run', () => {
    const page = reportPage(runs, 'Title');
    expect(page.replaceAll(/xmlns(:\w+)?="[^"]*"/g, '')).not.toMatch(/https?:|src=|href="[^#]/);
    expect(page).not.toMatch(/NaN|Infinity|undefined/);
    for (const name of ['french', 'french-cpt']) expect(page).toContain(`>${name}<`);
    expect(page.match(/<svg/g)).toHaveLength(2 * (4 + 4)); // wide, and narrow for phones
  });

  test('lines differ by dash and dots by shape, figures have names, and the page has contents and an origin', () => {
    const page = reportPage(runs, 'Title', undefined, madeBy('report a --out <b>'));
    expect(page.match(/<svg [^>]*aria-label="[^"]+ by training (tokens|FLOPs)/g)).toHaveLength(2 * (4 + 4));
    expect(page).toContain('aria-label="fr held-out loss (nats per token) by training tokens"');
    expect(page.match(/stroke-dasharray="7[ ,]3"/g)!.length).toBeGreaterThanOrEqual(8);
    const dots = [...page.matchAll(/<path [^>]*d="([^"]*)"[^>]*><title>(french|french-cpt)\n/g)];
    const shapes = new Map(dots.map(([, shape, run]) => [run, shape]));
    expect(new Set(shapes.values()).size).toBe(2);
    const linked = [...page.matchAll(/<a href="#([^"]+)">/g)].map(([, id]) => id);
    expect(linked).toContain('training');
    for (const id of linked) expect(page).toContain(`<section id="${id}">`);
    expect(page).toMatch(/Made on [\d-]+ [\d:]+ UTC by babelgrad \d+\.\d+\.\d+: babelgrad report a --out &#60;b&#62;</);
    expect(page).not.toContain('evenly spread'); // all rows are there
  });

  test('tokens and FLOPs are one figure with a switch for runs of one size, and two figures for others', () => {
    const figures = (page: string) =>
      page.match(/<section id="held-out">.*?<\/section>/s)![0].match(/<figure/g)!.length;
    const page = reportPage(runs, 'Title');
    expect(figures(page)).toBe(2); // fr and en
    const buttons = [...page.matchAll(/<input type="radio" name="([^"]+)" id="([^"]+)"( checked)?>/g)];
    expect(buttons.map(([, name, , checked]) => [name, !!checked])).toEqual([
      ['axis-0', true],
      ['axis-0', false],
      ['axis-1', true],
      ['axis-1', false],
    ]);
    for (const [, , id] of buttons) expect(page).toContain(`<label for="${id}">`);
    const larger = runs.map((run, i) => ({
      ...run,
      config: { ...run.config, name: `larger ${i}` },
      evaluations: run.evaluations.map(line => ({ ...line, flops: 2 * line.flops })),
    }));
    const both = reportPage([...runs, ...larger], 'Title');
    expect(figures(both)).toBe(4);
    expect(both).not.toContain('type="radio"');
  });

  test("a phone's plots have letters as large as notes, and a key in the place of labels", () => {
    const page = reportPage(runs, 'Title');
    const narrow = [...page.matchAll(/<div class="narrow"><svg ([^>]*)>(.*?)<\/div>/gs)];
    expect(narrow.length).toBeGreaterThan(5);
    for (const [, attributes, rest] of narrow) {
      expect(attributes).toMatch(/width="360"/);
      expect(attributes).toMatch(/font-size: ?15px/); // .9rem are 14.4
      expect(rest).toMatch(/<figcaption>.*french.*french-cpt/s);
    }
  });

  test('a table that leaves rows out says which, and speeds begin at 0', () => {
    const page = reportPage([readRun(makeRun('long', 'scratch', 7, 30))], 'Title');
    expect(page).toContain('and evenly spread ones between them, 11 at most');
    const [, speeds] = /aria-label="tokens per second by training tokens"(.*?)<\/svg>/s.exec(page)!;
    expect(speeds).toMatch(/>0<\/text>/);
  });

  test('labels at the ends of lines keep apart, and within the plot', () => {
    const ends = [3, 3, 3.01, 9.9, 10, 10].map(y => ({ y }));
    const height = 188;
    const labels = spread(ends, [3, 10], height).map(({ label }) => label);
    const pixels = labels.map(label => ((label - 3) / (10 - 3)) * (height / 1.25)).sort((a, b) => a - b);
    for (const [i, at] of pixels.slice(1).entries()) expect(at - pixels[i]!).toBeGreaterThanOrEqual(14 - 1e-9);
    expect(Math.max(...labels)).toBeLessThanOrEqual(10);
    expect(Math.min(...labels)).toBeGreaterThanOrEqual(3);
  });

  test('runs with different vocabularies are compared per byte, and in FLOPs alone', () => {
    // 3.25 nats per token of 3 bytes; the other starts at 7 per token of 4 bytes, and ends at 3.25 per 4
    const scratch = readRun(makeRun('three', 'scratch', 7, 4, { bytesPerToken: 3 }));
    const cpt = readRun(makeRun('four', 'cpt', 7, 4, { vocabSize: 1500, bytesPerToken: 4 }));
    const [{ unit, savings } = expect.fail('nothing compared')] = compareRuns([scratch, cpt]);
    expect(unit).toBe('bits per byte');
    expect(savings.loss).toBeCloseTo(3.25 / 3 / Math.LN2, 12);
    // 13/3 nats per token, between 5 after one evaluation and 4 after two
    expect(savings.savedFlops).toBeCloseTo(1 - (1 + 2 / 3) / 4, 12);
    expect(savings.savedTokens).toBeUndefined();
    const table = comparisonTable([scratch, cpt]);
    expect(table).toContain('fr bits/byte');
    expect(table).not.toContain('nats');
    expect(table).toContain(
      "'four' reached the 1.563 bits per byte of fr that 'three' reached with 2.4G FLOPs after 1G: 58% saved",
    );
    expect(table).toContain("The en loss of 'four' rose from 1.803 to 1.948 bits per byte.");
    const page = reportPage([scratch, cpt], 'T');
    expect(page).toContain('in bits per byte, since vocabularies differ');
    expect(page).toContain('held-out loss (bits per byte)');
    expect(page).toContain('The training loss is known per token alone');
    expect(page).not.toMatch(/nats|NaN|Infinity|undefined/);
  });

  test('beside a run with another vocabulary every pair is compared per byte', () => {
    const same = [
      makeRun('same', 'scratch', 7, 4, { bytesPerToken: 3 }),
      makeRun('same-cpt', 'cpt', 5, 4, { bytesPerToken: 3 }),
    ].map(readRun);
    const other = readRun(makeRun('other', 'cpt', 7, 4, { vocabSize: 1500, bytesPerToken: 4 }));
    expect(compareRuns(same).map(({ unit }) => unit)).toEqual(['nats per token']);
    const found = compareRuns([...same, other]);
    expect(found.map(({ cpt, unit }) => [cpt.config.name, unit])).toEqual([
      ['same-cpt', 'bits per byte'],
      ['other', 'bits per byte'],
    ]);
    expect(found[0]!.savings.savedTokens, 'their tokens are the same').toBeCloseTo(1 / 4, 10);
    expect(found[1]!.savings.savedTokens).toBeUndefined();
    const table = comparisonTable([...same, other]);
    expect(table).toContain(
      "'same-cpt' reached the fr loss of 1.563 bits per byte that 'same' reached with 4k tokens after 3k: 25% of",
    );
    expect(`${table}${reportPage([...same, other], 'T')}`).not.toContain('nats');
    expect(reportPage(same, 'T')).not.toMatch(/bits.byte|bits per byte/);
  });

  test('without bits per byte, runs with different vocabularies are not compared at all', () => {
    const runs = [
      readRun(makeRun('before', 'scratch', 7, 4)),
      readRun(makeRun('after', 'cpt', 5, 4, { vocabSize: 1500, bytesPerToken: 4 })),
    ];
    expect(compareRuns(runs)).toEqual([]);
    expect(comparisonTable(runs)).toMatch(/'after' and 'before' have different vocabularies.* they are not compared/);
    expect(reportPage(runs, 'T')).not.toMatch(/NaN|Infinity|undefined|saved/);
  });

  test('names cannot inject markup', () => {
    const page = reportPage([readRun(makeRun('<script>alert(1)</script>', 'scratch', 7, 2))], '<b>&');
    expect(page).not.toContain('<script>alert');
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
  expect([0, 999, 999.7, 1234, 1.5e6, 999_885_952, 2.345e12].map(short)).toEqual([
    '0',
    '999',
    '1k',
    '1.23k',
    '1.5M',
    '1G',
    '2.35T',
  ]);
});
