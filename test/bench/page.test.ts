import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseHTML } from 'linkedom';
import { afterAll, expect, test } from 'vitest';
import { OURS, PYTORCH } from '../../bench/engines/engines.js';
import { benchmarkPage, softwareNote } from '../../bench/page.js';
import { summarise } from '../../bench/summary.js';
import { writeResult } from '../../bench/write.js';
import { ceilings, peerWork, resultOf, samplesOf } from './samples.js';

const folder = mkdtempSync(join(tmpdir(), 'page-'));
afterAll(() => rmSync(folder, { recursive: true }));

const samples = [...ceilings, samplesOf([40, 50, 60]), samplesOf([20], { name: 'step', kind: 'step' })];
const works = [
  peerWork([
    { engine: OURS, wall: [10, 12, 14], check: 'right' },
    { engine: 'jax-js', wall: [], refused: 'not installed: <npm ci>' },
  ]),
  peerWork(
    [
      { engine: OURS, wall: [512] },
      { engine: PYTORCH, wall: [256] },
    ],
    { name: 'training step', kind: 'step', tokens: 1024 },
  ),
];
const peers = { engines: [{ name: OURS, webgpu: true, version: '1', device: 'soft' }], works };
const bars = [{ what: 'speed', bar: 'at least 2', measured: '1.00', reached: false }];
const result = resultOf({ samples, summary: summarise(samples), peers, bars });

test('the page has a bar for every engine, the reason of those without, and the roofline', () => {
  const { document } = parseHTML(benchmarkPage(result));
  const figures = [...document.querySelectorAll('figure')];
  expect(figures).toHaveLength(works.length + 1);
  expect(figures[0]!.textContent).toContain('not installed: <npm ci>');
  const dots = figures.at(-1)!.querySelectorAll('circle');
  expect(dots).toHaveLength(2);
  expect([...dots].map(dot => dot.textContent)).toContain('matmul NT 512\n40 GFLOP/s');
  expect(figures.at(-1)!.textContent).toContain('100 GFLOP/s, 5 GB/s');
  expect(document.querySelector('.missed')!.textContent).toBe('NOT reached');
  expect(document.querySelector('h1')!.textContent).toBe('Benchmark on soft <pipe>');
  expect(document.querySelectorAll('script, link, img')).toHaveLength(0);
});

test('a software adapter is said to be one, with what PyTorch did; a GPU is not', () => {
  expect(softwareNote(result)).toMatch(/a native CPU framework is faster.*PyTorch.* 4000 tokens\/s, babelgrad at 2000/);
  expect(benchmarkPage(result)).toContain(softwareNote(result));
  expect(softwareNote(resultOf({}))).toMatch(/a native CPU framework is faster\.$/);
  const { machine } = result;
  const hardware = { ...machine, adapter: { ...machine.adapter, kind: 'hardware' as const } };
  expect(softwareNote(resultOf({ machine: hardware }))).toBeUndefined();
});

test('a page without peers or steps is a page', () => {
  const skipped = ["'a' needs 9 bytes"];
  const page = benchmarkPage(resultOf({ samples, summary: summarise(samples), skipped }));
  expect(parseHTML(page).document.body.textContent).toContain("Skipped: 'a' needs 9 bytes");
  expect(page).not.toContain('Against other engines');
  expect(page).not.toContain('Training steps');
});

test('a result is written as JSON and as a page, into a folder or as a named file', () => {
  expect(writeResult(join(folder, 'a'), result)).toEqual(
    ['json', 'html'].map(end => join(folder, 'a', `benchmark.${end}`)),
  );
  const [json] = writeResult(join(folder, 'b.json'), result);
  expect(JSON.parse(readFileSync(json!, 'utf8'))).toEqual(JSON.parse(JSON.stringify(result)));
});
