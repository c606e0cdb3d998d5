/** A run that watches itself, its health read back, how it comes apart from float64, and where a NaN came from. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { driftOf } from '../../src/audit/drift.js';
import { replayOp } from '../../src/audit/replay-op.js';
import { lossScaleHistory, lossWarnings, readRunHealth } from '../../src/audit/run-health.js';
import { tokenizeFiles } from '../../src/data/tokenize.js';
import { trainTokenizer } from '../../src/data/tokenizer-train.js';
import { UserError } from '../../src/errors.js';
import { parseConfig } from '../../src/run/config.js';
import { HEALTH_LIMITS } from '../../src/run/health.js';
import { resumeRun } from '../../src/run/resume.js';
import { startRun } from '../../src/run/start.js';
import { readOp } from '../../src/train/recorded-op.js';
import { useDevice } from '../support/gpu.js';
import { sampleText } from '../support/text.js';

const context = useDevice();
const root = mkdtempSync(join(tmpdir(), 'babelgrad-run-audit-'));
const folder = join(root, 'run');
const data = join(root, 'data');
const config = (out: string, more: Record<string, unknown> = {}) =>
  parseConfig(
    {
      out,
      sources: [{ name: 'en', path: data }],
      hiddenSize: 32,
      intermediateSize: 48,
      numHiddenLayers: 1,
      numAttentionHeads: 2,
      tokens: 24 * 128,
      contextLength: 32,
      batchTokens: 128,
      learningRate: 1e-3,
      ...more,
    },
    'the test',
  );
const health = { every: 5, limits: HEALTH_LIMITS };

beforeAll(async () => {
  const file = join(root, 'en.txt');
  writeFileSync(file, sampleText(0, 6000));
  const tokenizer = await trainTokenizer([file], { vocabSize: 300, field: 'text', out: join(root, 'tokenizer.json') });
  await tokenizeFiles([file], { tokenizer, field: 'text', out: data, heldOutTokens: 500 });
  const { device } = context;
  const abort = new AbortController();
  const observer = { onStep: ({ step }: { step: number }) => void (step >= 12 && abort.abort()) };
  await startRun(config(folder), { device, health, observer, signal: abort.signal });
  await resumeRun(folder, { device, health });
});
afterAll(() => rmSync(root, { recursive: true }));

describe('a run that watches itself', () => {
  test('looks at the interval and at the end, once each, also when it was interrupted', () => {
    const { steps, lines, warnings } = readRunHealth(folder, HEALTH_LIMITS, 1.5);
    expect(steps).toBe(24);
    expect(lines.map(({ step }) => step)).toEqual([5, 10, 15, 20, 24]);
    expect(warnings).toEqual([]);
    for (const { parameters } of lines) {
      expect(parameters.length).toBeGreaterThan(5);
      expect(parameters.every(({ weight, gradient }) => weight.nonFinite + gradient.nonFinite === 0)).toBe(true);
      expect(parameters.every(({ updateToWeight }) => updateToWeight > 0 && updateToWeight < 0.2)).toBe(true);
    }
  });

  test('is warned of by thresholds of the reader', () => {
    const strict = { ...HEALTH_LIMITS, maxUpdateToWeight: 1e-6 };
    expect(readRunHealth(folder, strict, 1.5).warnings[0]).toMatch(
      /^step 5: .* update to weight is .* \(at most 0.000001\)/,
    );
  });

  test('a loss that jumps is named', () => {
    const steps = Array.from({ length: 30 }, (_, i) => ({ step: i + 1, loss: i === 25 ? 6 : 3 }));
    const warnings = lossWarnings(steps as unknown as Parameters<typeof lossWarnings>[0], 1.5);
    expect(warnings).toEqual(['step 26: the loss is 6.000, 2.00 times that of the steps before']);
  });

  test('the loss scale is told step by step, with its drops and the steps that were skipped', () => {
    const scaled = (step: number, lossScale: number, gradientNorm: number | null = 1) => ({
      step,
      lossScale,
      gradientNorm,
    });
    const steps = [
      scaled(1, 64),
      scaled(2, 64, null),
      scaled(3, 32, null),
      scaled(4, 16),
      scaled(5, 16),
      scaled(6, 32),
    ];
    expect(lossScaleHistory(steps as unknown as Parameters<typeof lossScaleHistory>[0])).toEqual([
      { from: 1, to: 2, lossScale: 64, skipped: 1 },
      { from: 3, to: 3, lossScale: 32, skipped: 1 },
      { from: 4, to: 5, lossScale: 16, skipped: 0 },
      { from: 6, to: 6, lossScale: 32, skipped: 0 },
    ]);
    expect(readRunHealth(folder, HEALTH_LIMITS, 1.5).lossScales).toEqual([]);
  });

  test('a run in f16 has its loss scale read back, and is warned of where it is small', async () => {
    const { device } = context;
    if (!device.adapter.features.includes('shader-f16')) return;
    const out = join(root, 'half');
    await startRun(config(out, { precision: 'f16', tokens: 4 * 128 }), { device });
    const { lossScales, warnings } = readRunHealth(out, HEALTH_LIMITS, 1.5);
    expect([lossScales[0]!.from, lossScales.at(-1)!.to, warnings]).toEqual([1, 4, []]);
    const strict = { ...HEALTH_LIMITS, minLossScale: 2 * lossScales[0]!.lossScale };
    expect(readRunHealth(out, strict, 1.5).warnings[0]).toMatch(/^step 1: the loss scale is \d+ \(at least \d+\)/);
  });

  test('what is no run, or a damaged line, is refused', () => {
    expect(() => readRunHealth(join(root, 'none'), HEALTH_LIMITS, 1.5)).toThrow(UserError);
    const path = join(folder, 'health.jsonl');
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, `${text}{"kind": "other"}\n`);
    expect(() => readRunHealth(folder, HEALTH_LIMITS, 1.5)).toThrow(/line 6 is not of a run's health/);
    writeFileSync(path, text);
  });
});

describe('drift', () => {
  test('f32 stays beside float64, and f16 is further off', async () => {
    const { device } = context;
    const single = await driftOf(folder, 3, { device, precision: 'f32' }, 'float64');
    expect(single.lines.map(({ step }) => step)).toEqual([1, 2, 3]);
    for (const { loss, gradients, weights } of single.lines) {
      expect(Math.max(loss, gradients, weights)).toBeLessThan(1e-5);
      expect(gradients).toBeGreaterThan(0);
    }
    const same = await driftOf(folder, 2, { device, precision: 'f32' }, { device, precision: 'f32' });
    expect(same.lines.every(({ loss, gradients, weights }) => loss + gradients + weights === 0)).toBe(true);
    if (!device.adapter.features.includes('shader-f16')) return;
    const half = await driftOf(folder, 3, { device, precision: 'f32' }, { device, precision: 'f16' });
    expect(half.lines[0]!.gradients).toBeGreaterThan(10 * single.lines[0]!.gradients);
    expect(half.lines[2]!.loss).toBeLessThan(0.01);
  });

  test('float64 refuses what would take it hours', async () => {
    const { device } = context;
    await expect(driftOf(folder, 1e6, { device, precision: 'f32' }, 'float64')).rejects.toThrow(/give fewer --steps/);
  });
});

describe('a run that meets a value that is not finite', () => {
  test('stops, names the op, and keeps its inputs, of which all are finite', async () => {
    const { device } = context;
    const out = join(root, 'diverges');
    const failed = startRun(config(out, { learningRate: 1e30, warmup: 0, clip: 0 }), { device });
    const message = await failed.then(
      () => '',
      (error: Error) => error.message,
    );
    const [, step] = /^step (\d+): /.exec(message)!;
    const path = join(out, `not-finite-step-${step}.op`);
    expect(message).toContain(`babelgrad audit replay ${path}`);
    const op = readOp(path);
    const { inputs, results } = await replayOp(device, op);
    expect(inputs.every(({ nonFinite }) => nonFinite === 0)).toBe(true);
    const bad = results.find(({ name }) => name === op.found.tensor);
    expect(bad?.firstNonFinite).toBe(op.found.index);
    expect(message).toContain(`made by '${op.op}'`);
  });
});
