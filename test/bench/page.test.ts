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
  const dots = figures.at(-1)!.querySelectorAll('.wide circle');
  expect(dots).toHaveLength(2);
  expect([...dots].map(dot => dot.textContent)).toContain('matmul NT 512\n40 GFLOP/s');
  expect(figures.at(-1)!.textContent).toContain('100 GFLOP/s, 5 GB/s');
  expect(document.querySelector('.missed')!.textContent).toBe('NOT reached');
  expect(document.querySelector('h1')!.textContent).toBe('Benchmark on soft <pipe>');
  expect(document.querySelectorAll('script, link, img')).toHaveLength(0);
});

test('no two kinds of works have one colour, parts have links and names, and the roofline stands beside its table', () => {
  const kinds = ['matmul', 'attention', 'adamw', 'rmsnorm', 'cross-entropy', 'step', 'scaling width'];
  const works = kinds.map(kind => samplesOf([40], { name: kind, kind }));
  const { document } = parseHTML(benchmarkPage(resultOf({ samples: [...ceilings, ...works], peers })));
  const colors = [...document.querySelectorAll('#kernels .wide circle')].map(dot => dot.getAttribute('fill'));
  expect(new Set(colors).size).toBe(kinds.length);
  const links = [...document.querySelectorAll('nav a')].map(link => link.getAttribute('href')!);
  expect(links).toEqual(['#peers', '#kernels']);
  for (const link of links) expect(document.querySelector(link)).not.toBeNull();
  for (const part of document.querySelectorAll('.scroll, svg')) expect(part.getAttribute('aria-label')).toMatch(/\w/);
  expect(document.querySelectorAll('.beside > figure + .scroll')).toHaveLength(1);
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
  const [json] = writeResult(join(folder, 'b.json'), result, 'Made by babelgrad bench step');
  expect(readFileSync(join(folder, 'b.html'), 'utf8')).toContain('Made by babelgrad bench step</footer>');
  expect(JSON.parse(readFileSync(json!, 'utf8'))).toEqual(JSON.parse(JSON.stringify(result)));
});
