import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { replayFindings } from '../../src/report/findings.js';
import { compareReplay, forgettingOf, knownForgetting, sourceLanguageOf } from '../../src/report/forgetting.js';
import { reportPage } from '../../src/report/page.js';
import { readRun, unitOf } from '../../src/report/runs.js';
import { type MadeRun, writeRun } from '../support/runs.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-forgetting-'));
afterAll(() => rmSync(root, { recursive: true }));
const make = (run: MadeRun) => readRun(writeRun(root, run));

const english = make({ name: 'english', sources: { fr: 1, en: 2 }, heldOut: { en: [7, 4] } });
const checkpoint = join(root, 'english', 'checkpoints', 'step-00000001');
const none = make({
  name: 'none',
  checkpoint,
  sources: { fr: 1 },
  heldOut: { en: [4, 5.5, 5], fr: [6, 4, 3] },
});
const tenth = make({
  name: 'tenth',
  checkpoint,
  sources: { fr: 9, en: 0.5 },
  heldOut: { en: [4, 4.5, 4.25], fr: [6, 4.5, 3.25] },
});

describe('the source language', () => {
  test('is what the source run was mostly trained on', () => {
    expect(none.sourceLanguage).toBe('en');
    expect(sourceLanguageOf(none)).toBe('en');
    expect(sourceLanguageOf(english)).toBeUndefined();
  });

  test('of a run that was moved is found by its name, or not', () => {
    const moved = make({
      name: 'moved',
      checkpoint: 'gone/step-00000001',
      sources: { fr: 1 },
      heldOut: { en: [4, 5] },
    });
    expect(sourceLanguageOf(moved)).toBeUndefined();
    const source = make({ name: 'source', sources: { sw: 1 }, heldOut: { sw: [4] } });
    expect(sourceLanguageOf(moved, [moved, source])).toBe('sw');
  });
});

describe('forgetting', () => {
  test('is the source loss at the end and at its largest, less the one at the start', () => {
    const found = forgettingOf(none, 'en');
    expect(found).toMatchObject({ source: 'en', target: 'fr', replay: 0, backwardTransfer: 1 });
    expect(found.worst).toEqual({ change: 1.5, tokens: 1000 });
    expect(forgettingOf(tenth, 'en').replay).toBeCloseTo(0.5 / 9.5, 12);
  });

  test('needs a CPT run into another language, evaluated in both', () => {
    expect(() => forgettingOf(english, 'en')).toThrow("'english' is a run from scratch");
    expect(() => forgettingOf(none, 'fr')).toThrow("'none' goes on with 'fr', its source language");
    expect(() => forgettingOf(none, 'de')).toThrow(
      "'none' has 0 evaluations in 'de', and two are needed; its held-out languages: en, fr",
    );
    expect(knownForgetting([english, none], 'de')).toEqual([]);
  });
});

describe('replay', () => {
  test('its price and gain against the least, by hand', () => {
    const [comparison, ...others] = compareReplay(knownForgetting([tenth, english, none]));
    expect(others).toEqual([]);
    expect(comparison).toMatchObject({ source: 'en', target: 'fr', tokens: 2000, unequal: false });
    const [least, more] = comparison!.effects;
    expect(least).toMatchObject({ priceLoss: 0, priceTokens: 0, gain: 0, targetLoss: 3, sourceLoss: 5 });
    // without replay the loss of 3.25 was reached three quarters of the way from 4 to 3
    expect(more).toMatchObject({ priceLoss: 0.25, priceTokens: 250, gain: 0.75, targetLoss: 3.25, sourceLoss: 4.25 });
    expect(replayFindings(comparison!)).toEqual([
      "5% replay ('tenth') against 0%, after 2k tokens: en loss −0.7500 nats per token, fr loss +0.2500 nats per token (250 tokens lost).",
    ]);
  });

  test('a longer run is compared where the shorter one ended, and one that is ahead has tokens in hand', () => {
    const long = make({
      name: 'long',
      checkpoint,
      sources: { fr: 3, en: 1 },
      heldOut: { en: [4, 4, 4, 4], fr: [6, 3, 2, 1] },
    });
    const [comparison] = compareReplay([none, long].map(run => forgettingOf(run, 'en')));
    expect(comparison).toMatchObject({ tokens: 2000, unequal: true });
    expect(comparison!.effects[1]).toMatchObject({ priceLoss: -1, priceTokens: -1000, gain: 1 });
    const findings = replayFindings(comparison!);
    expect(findings[0]).toContain('(1k tokens ahead)');
    expect(findings[1]).toContain('different budgets');
  });

  test('evaluations at different places are read off linearly', () => {
    const half = make({
      name: 'half',
      checkpoint,
      sources: { fr: 1, en: 1 },
      heldOut: { en: [4, 4, 4, 4], fr: [6, 5, 4, 3] },
    });
    const short = forgettingOf(none, 'en');
    const cut = { ...short, targetCurve: [short.targetCurve[0]!, { ...short.targetCurve[2]!, tokens: 1500 }] };
    const [comparison] = compareReplay([cut, forgettingOf(half, 'en')]);
    expect(comparison!.tokens).toBe(1500);
    expect(comparison!.effects[0]).toMatchObject({ sourceLoss: 5.25, targetLoss: 3 });
    // the least replay went from 6 to 3 in 1500 tokens, and was at 4.5 after 750
    expect(comparison!.effects[1]).toMatchObject({ sourceLoss: 4, targetLoss: 4.5, priceTokens: 750 });
  });

  test('runs of one ratio, from different checkpoints, or in different tokens, are not compared', () => {
    const other = make({
      name: 'other',
      checkpoint: 'x/y/z',
      sources: { fr: 1, en: 1 },
      heldOut: { en: [4, 5], fr: [5, 4] },
    });
    const of = (run: typeof none) => forgettingOf(run, 'en');
    expect(compareReplay([of(none), of(none)])).toEqual([]);
    expect(compareReplay([of(none), of(other)])).toEqual([]);
    const otherTokens = { ...tenth, config: { ...tenth.config, tokenizer: 'another' } };
    expect(compareReplay([of(none), of(tenth)])).toHaveLength(1);
    expect(compareReplay([of(none), of(otherTokens)])).toEqual([]);
  });
});

describe('a vocabulary that was extended before the run', () => {
  // 2 bytes a token before, 4 after
  const bitsPerByte = (nats: number, bytesPerToken: number) => nats / bytesPerToken / Math.LN2;
  const old = make({ name: 'old', tokenizer: 'A', bytesPerToken: 2, sources: { en: 1 }, heldOut: { en: [7, 4] } });
  const origin = { sources: [{ name: 'en', weight: 1 }], tokenizer: 'A' };
  const extended = { checkpoint: 'extended', origin, tokenizer: 'B', bytesPerToken: 4 };
  const one = make({ name: 'one', ...extended, sources: { fr: 1 }, heldOut: { en: [9, 10, 11], fr: [12, 9, 8] } });
  const two = make({
    name: 'two',
    ...extended,
    sources: { fr: 3, en: 1 },
    heldOut: { en: [9, 9, 9], fr: [12, 10, 9] },
  });
  const same = make({
    name: 'same',
    checkpoint: 'moved',
    origin,
    tokenizer: 'A',
    bytesPerToken: 2,
    sources: { fr: 1 },
    heldOut: { en: [4, 5, 6], fr: [6, 4, 3] },
  });

  test('the source language is the one that the run recorded, wherever the source run is', () => {
    expect([one, same].map(run => sourceLanguageOf(run))).toEqual(['en', 'en']);
    expect([one, same, old].map(run => run.isExtended)).toEqual([true, false, false]);
  });

  test('forgetting is per byte, from the own evaluation before the first step', () => {
    expect([[same], [old, same], [one], [old, one]].map(unitOf)).toEqual([
      ...Array.from({ length: 2 }, () => 'nats per token'),
      ...Array.from({ length: 2 }, () => 'bits per byte'),
    ]);
    const found = forgettingOf(one, 'en');
    expect(found.unit).toBe('bits per byte');
    expect(found.sourceCurve[0]!.loss, 'not where the source run ended').toBeCloseTo(bitsPerByte(9, 4), 12);
    expect(found.backwardTransfer).toBeCloseTo(bitsPerByte(2, 4), 12);
    expect(forgettingOf(same, 'en')).toMatchObject({ unit: 'nats per token', backwardTransfer: 2 });
  });

  test('on one page with others all are per byte, replay too', () => {
    const all = knownForgetting([old, same, one, two]);
    expect(all.map(({ run, unit }) => [run.config.name, unit])).toEqual([
      ['same', 'bits per byte'],
      ['one', 'bits per byte'],
      ['two', 'bits per byte'],
    ]);
    expect(all[0]!.backwardTransfer).toBeCloseTo(bitsPerByte(2, 2), 12);
    const [comparison, ...others] = compareReplay(all);
    expect(others, 'runs in other tokens are not compared').toEqual([]);
    expect(comparison!.unit).toBe('bits per byte');
    expect(comparison!.effects[1]!.gain).toBeCloseTo(bitsPerByte(2, 4), 12);
    expect(comparison!.effects[1]!.priceLoss).toBeCloseTo(bitsPerByte(1, 4), 12);
    const page = reportPage([old, same, one, two], 'T');
    for (const label of [
      "en loss above the source model's (bits per byte)",
      'en loss (bits per byte), by share of replay',
      'fr loss after 2k tokens (bits per byte)',
      'source loss (bits/byte)',
      'for &#39;one&#39;, &#39;two&#39;: losses are in bits per byte',
    ])
      expect(page).toContain(label);
    expect(page, 'nothing is per token').not.toMatch(/nats|NaN|Infinity|undefined/);
  });

  test('a run without bits per byte is named', () => {
    const heldOut = { en: [9, 10], fr: [12, 9] };
    const early = make({ name: 'early', ...extended, bytesPerToken: undefined, sources: { fr: 1 }, heldOut });
    expect(() => forgettingOf(early, 'en')).toThrow(/'early' has no bits per byte beside its held-out losses in 'en'/);
    expect(knownForgetting([early])).toEqual([]);
  });
});

test('the page has figures of both, and none where nothing is known', () => {
  const page = reportPage([english, none, tenth], 'T');
  expect(page).toContain('<h2>Forgetting</h2>');
  expect(page).toContain("en loss above the source model's (nats per token)");
  expect(page).toContain('en loss (nats per token), by share of replay');
  expect(page).toContain('fr loss after 2k tokens (nats per token)');
  expect(page).not.toMatch(/NaN|Infinity|undefined/);
  expect(reportPage([none], 'T')).not.toContain('by share of replay');
  const moved = make({ name: 'foreign', checkpoint: 'model', sources: { fr: 1 }, heldOut: { en: [4, 5], fr: [5, 4] } });
  expect(reportPage([moved], 'T')).not.toContain('Forgetting');
  expect(reportPage([moved], 'T', 'en')).toContain('Forgetting');
});
