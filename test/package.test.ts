/** The package as it is installed: what is in it, its types for a strict program without WebGPU's, and its entries. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { extract } from 'tar';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { packageRoot } from '../src/files.js';
import { pages, readLinks } from '../tools/docs/links.mjs';
import { examples } from './support/examples.js';

const project = mkdtempSync(join(tmpdir(), 'babelgrad-package-'));
const installed = join(project, 'node_modules', 'babelgrad');
afterAll(() => rmSync(project, { recursive: true, force: true }));

/** A project with the packed package, what that depends on but for what is optional, and the types of Node. */
beforeAll(async () => {
  const pack = ['pack', '--ignore-scripts', '--json', '--pack-destination', project];
  const [{ filename }] = JSON.parse(execFileSync('npm', pack, { cwd: packageRoot, encoding: 'utf8' }));
  mkdirSync(installed, { recursive: true });
  await extract({ file: join(project, filename), cwd: installed, strip: 1 });
  const { dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  for (const name of [...Object.keys(dependencies), '@types/node', 'undici-types']) {
    const place = join(project, 'node_modules', name);
    mkdirSync(dirname(place), { recursive: true });
    symlinkSync(join(packageRoot, 'node_modules', name), place);
  }
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
});

test('a build makes its command executable, which a link in a checkout needs', () => {
  expect(statSync(join(packageRoot, 'dist/src/cli/main.js')).mode & 0o111).toBe(0o111);
});

const PROGRAM = `
import * as babelgrad from 'babelgrad';
import { type Device, type Model, openDevice, Trainer } from 'babelgrad';

export async function train(model: Model, sequences: Uint32Array): Promise<number> {
  using trainer = await Trainer.create(model, { B: 1, T: 8 });
  const { loss } = await trainer.trainStep(sequences, 1e-3);
  return loss;
}
const device: Device = await openDevice();
const name: string = device.adapter.name;
console.log(name, Object.keys(babelgrad).length);
device.close();
`;

const WRONG = `
import { Device, openDevice } from 'babelgrad';
new Device();
(await openDevice()).adapter.name.x;
`;

test('strict programs take the types, without @webgpu/types and the DOM; one that is wrong is told so', () => {
  writeFileSync(join(project, 'program.ts'), PROGRAM);
  for (const { name, code } of examples()) writeFileSync(join(project, `${name}.ts`), code);
  writeFileSync(join(project, 'wrong.ts'), WRONG);
  const flags = ['--strict', '--skipLibCheck', 'false', '--target', 'es2022', '--lib', 'es2022', '--types', 'node'];
  const modules = ['--module', 'nodenext', '--moduleResolution', 'nodenext', '--noEmit', '--pretty', 'false'];
  const compiler = join(packageRoot, 'node_modules', 'typescript', 'bin', 'tsc');
  const programs = ['program.ts', 'wrong.ts', ...examples().map(({ name }) => `${name}.ts`)];
  const parameters = [compiler, ...flags, ...modules, ...programs];
  const { stdout } = spawnSync(process.execPath, parameters, { cwd: project, encoding: 'utf8' });
  expect(stdout.trim().split('\n')).toEqual([
    expect.stringMatching(/^wrong\.ts\(3,1\): .*Constructor of class 'Device' is private/),
    expect.stringMatching(/^wrong\.ts\(4,35\): .*Property 'x' does not exist on type 'string'/),
  ]);
});

test('the library and the command line are there, with what they read', () => {
  const run = (...parameters: string[]) =>
    execFileSync(process.execPath, parameters, { cwd: project, encoding: 'utf8' });
  const names = run('--input-type=module', '-e', "console.log(Object.keys(await import('babelgrad')).join())");
  expect(names.split(',')).toEqual(expect.arrayContaining(['openDevice', 'createModel', 'Trainer', 'startRun']));
  expect(run(join(installed, 'dist/src/cli/main.js'), '--version')).toMatch(/^\d+\.\d+\.\d+\n$/);
  const kernels = (folder: string) => readdirSync(join(folder, 'kernels'), { recursive: true }).sort();
  expect(kernels(installed)).toEqual(kernels(packageRoot));
});

test('the version is the same wherever it stands, and the changelog has its date', () => {
  const read = (file: string) => readFileSync(join(packageRoot, file), 'utf8');
  const { version } = JSON.parse(read('package.json'));
  expect(JSON.parse(read('package-lock.json'))).toMatchObject({ version, packages: { '': { version } } });
  const { version: cited, 'date-released': date } = parse(read('CITATION.cff'));
  expect(cited).toBe(version);
  expect(read('CHANGELOG.md')).toContain(`\n## [${version}] - ${date}\n`);
});

test('the pages are there, and all that they link to', () => {
  const all = pages(packageRoot);
  const linked = all.flatMap(page => readLinks(packageRoot, page).map(({ file }) => file));
  expect([...all, ...linked].filter(file => !existsSync(join(installed, file)))).toEqual([]);
});

test('the demo begins in an empty folder, and gets as far as the first step of a model', async () => {
  for (const name of ['koffi', '@sparticuz']) {
    symlinkSync(join(packageRoot, 'node_modules', name), join(project, 'node_modules', name));
  }
  const cwd = join(project, 'empty');
  mkdirSync(cwd);
  const child = spawn(process.execPath, [join(installed, 'dist/src/cli/main.js'), 'demo'], { cwd });
  const ended = once(child, 'close');
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', data => (text += String(data)));
  const metrics = join(cwd, 'runs/demo/english/metrics.jsonl');
  const seen = () => existsSync(metrics) && readFileSync(metrics, 'utf8').includes('"kind":"step"');
  while (!seen() && child.exitCode === null) await new Promise(resolve => setTimeout(resolve, 200));
  child.kill('SIGINT');
  await ended;
  expect(seen(), text).toBe(true);
  expect(child.exitCode, text).toBe(130);
}, 200_000);
