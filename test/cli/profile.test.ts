/** `profile` as a user meets it: times, a trace, a plan, the kernels' files, and bad usage. */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createModel, openDevice, saveModel } from '../../src/index.js';
import type { PlanListings } from '../../src/profile/plans.js';
import type { KernelTime, Profile } from '../../src/profile/profile.js';
import type { ChromeTrace } from '../../src/profile/trace.js';
import { runCommand } from '../support/command.js';
import { smallModel } from '../support/model.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-profile-'));
beforeAll(async () => {
  const device = await openDevice();
  const sizes = { vocabSize: 61, hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2 };
  await saveModel(await createModel(device, smallModel(sizes), { seed: 1 }), join(root, 'model'));
  device.close();
});
afterAll(() => rmSync(root, { recursive: true }));
const babelgrad = (...parameters: string[]) => runCommand(root, parameters);

const json = async <Result>(parameters: readonly string[], environment = {}): Promise<Result> => {
  const { status, stdout, stderr } = await runCommand(root, [...parameters, '--json'], environment);
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Result;
};

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** One layer of the preset 'tiny': hidden 64, MLP 176, 4 heads of 16; V 300, two micro-batches of 2 sequences of 16. */
const [V, C, F, B, T, microBatches] = [300, 64, 176, 2, 16, 2];
const MODEL = [
  '--preset',
  'tiny',
  '--num-hidden-layers',
  '1',
  '--vocab-size',
  String(V),
  '--context-length',
  String(T),
];
const STEP = [...MODEL, '--batch-tokens', String(microBatches * B * T), '--micro-batch', String(B), '--deterministic'];

describe('a step', () => {
  let found: Profile & { what: string; microBatches: number };
  let trace: ChromeTrace;
  const kernel = (label: RegExp): KernelTime => found.kernels.find(one => label.test(one.label))!;

  beforeAll(async () => {
    const parameters = ['profile', ...STEP, '--steps', '1', '--trace', 'trace.json'];
    found = await json(parameters, { BABELGRAD_WGSL: join(root, 'made', 'wgsl') });
    trace = JSON.parse(readFileSync(join(root, 'trace.json'), 'utf8')) as ChromeTrace;
  });

  test('shares are of the GPU time and come to 1; kernels are sorted by time', () => {
    const { kernels, gpuMilliseconds, wallMilliseconds, hostMilliseconds, tokensPerSecond } = found;
    expect(sum(kernels.map(({ share }) => share))).toBeCloseTo(1, 12);
    expect(sum(kernels.map(({ milliseconds }) => milliseconds))).toBeCloseTo(gpuMilliseconds, 9);
    for (const { milliseconds, share } of kernels) expect(share).toBeCloseTo(milliseconds / gpuMilliseconds, 12);
    const times = kernels.map(({ milliseconds }) => milliseconds);
    expect(times).toEqual([...times].sort((a, b) => b - a));
    expect(hostMilliseconds).toBeCloseTo(wallMilliseconds - gpuMilliseconds, 9);
    expect(tokensPerSecond).toBeCloseTo((1000 * microBatches * B * T) / wallMilliseconds, 6);
  });

  test('FLOPs of products are those of the usual count; of attention two products forward, three and four in its passes back', () => {
    const matrices = V * C + 4 * C * C + 3 * C * F;
    const products = found.kernels.filter(({ label }) => label.startsWith('matmul'));
    expect(sum(products.map(({ flops }) => flops!))).toBe(6 * matrices * microBatches * B * T);
    const attention = found.kernels.filter(({ label }) => label.startsWith('attention'));
    expect(attention).toHaveLength(3);
    expect(sum(attention.map(({ flops }) => flops!))).toBe((2 + 3 + 4) * microBatches * B * C * T * (T + 1));
    for (const { calls } of attention) expect(calls).toBe(microBatches);
  });

  test('rates are of what a kernel is bound by, and shares of the ceiling that is of that', () => {
    const { flopsPerSecond, bytesPerSecond } = found.ceilings;
    const product = kernel(/^matmul/);
    expect(product.rate!.of).toBe('flops');
    expect(product.rate!.perSecond).toBeCloseTo((1000 * product.flops!) / product.milliseconds, 3);
    expect(product.rate!.ofCeiling).toBeCloseTo(product.rate!.perSecond / flopsPerSecond, 12);
    const norm = kernel(/^rmsnorm_forward/);
    const rows = B * T;
    expect(norm.bytes, '3 norms: x, y, weight, rstd').toBe(3 * microBatches * 4 * (2 * rows * C + C + rows));
    expect(norm.rate!.of).toBe('bytes');
    expect(norm.rate!.ofCeiling).toBeCloseTo((1000 * norm.bytes!) / norm.milliseconds / bytesPerSecond, 12);
    expect(kernel(/^embedding_forward/)).not.toHaveProperty('rate');
  });

  test("the trace is in Chrome's format, and its times by kernel are the table's", () => {
    const rows = new Map<number, string>();
    for (const event of trace.traceEvents) {
      expect(event.pid).toBe(1);
      expect(event.tid).toBeTypeOf('number');
      expect(event.args).toBeTypeOf('object');
      if (event.ph === 'M') {
        if (event.name === 'thread_name') rows.set(event.tid, event.args.name);
        continue;
      }
      expect(event.ph).toBe('X');
      for (const number of [event.ts, event.dur]) expect(Number.isFinite(number) && number >= 0, event.name).toBe(true);
    }
    expect([...rows.values()]).toEqual(['host', 'GPU']);
    const complete = trace.traceEvents.filter(event => event.ph === 'X');
    const on = (row: string) => complete.filter(({ tid }) => rows.get(tid) === row);
    expect(on('host').map(({ name }) => name)).toEqual(['encode', 'submit', 'wait']);
    for (const { label, calls, milliseconds } of found.kernels) {
      const own = on('GPU').filter(({ name }) => name === label);
      expect(own).toHaveLength(calls);
      expect(sum(own.map(({ dur }) => dur)) / 1000).toBeCloseTo(milliseconds, 9);
    }
    expect(on('GPU')).toHaveLength(sum(found.kernels.map(({ calls }) => calls)));
  });

  test('dispatches follow each other within the time that the host waits for, and tell what they are of', () => {
    const complete = trace.traceEvents.filter(event => event.ph === 'X');
    const gpu = complete.filter(({ cat }) => cat === 'GPU');
    for (const [i, event] of gpu.slice(1).entries()) {
      expect(event.ts).toBeGreaterThanOrEqual(gpu[i]!.ts + gpu[i]!.dur - 1e-3);
    }
    const wait = complete.find(({ name }) => name === 'wait')!;
    expect(gpu.at(-1)!.ts + gpu.at(-1)!.dur).toBeLessThanOrEqual(wait.ts + wait.dur + 1e-3);
    const down = gpu.find(({ args }) => args.node === 'model.layers.0.mlp.down_proj.linear')!;
    expect(down.args).toMatchObject({
      reads: [
        `model.layers.0.mlp.gate_up_proj.swiglu.1 f32 [${B * T}, ${F}]`,
        `model.layers.0.mlp.down_proj.weight f32 [${C}, ${F}]`,
        expect.stringMatching(/o_proj/),
      ],
      makes: [`model.layers.0.mlp.down_proj.linear f32 [${B * T}, ${C}]`],
      workgroups: [expect.any(Number), expect.any(Number), 1],
      constants: { A_TYPE: 'f32' },
    });
  });

  test('BABELGRAD_WGSL has each kernel that was compiled once, under its label and the hash of its source', () => {
    const folder = join(root, 'made', 'wgsl');
    const files = readdirSync(folder);
    const labels = files.map(file => {
      const text = readFileSync(join(folder, file), 'utf8');
      const [, label, source] = /^\/\/ ([^\n]*)\n(.*)$/s.exec(text)!;
      const hash = createHash('sha256').update(source!).digest('hex').slice(0, 8);
      expect(file).toBe(`${label!.replaceAll(' ', '_')}-${hash}.wgsl`);
      expect(source).toMatch(/@compute @workgroup_size/);
      return label!;
    });
    expect(new Set(labels)).toEqual(
      new Set(['ceiling_fma', 'ceiling_copy', ...found.kernels.map(({ label }) => label)]),
    );
    expect(new Set(files).size).toBe(files.length);
  });
});

test('an evaluation and decoding with a saved model, for the terminal', async () => {
  const common = ['profile', '--model', 'model', '--context-length', '12', '--steps', '1'];
  const evaluation = await babelgrad(...common, '--what', 'eval', '--micro-batch', '3');
  expect(evaluation.status, evaluation.stderr).toBe(0);
  expect(evaluation.stdout).toMatch(/│ kernel .*│ calls │ +ms │ share │ +rate │ of ceiling │/);
  expect(evaluation.stdout).toMatch(/│ cross_entropy +│ +1 │/);
  expect(evaluation.stdout).not.toMatch(/backward|adamw/);
  expect(evaluation.stdout).toMatch(
    /an evaluation \(3 x 12 tokens\): .* ms, .* tokens\/s; GPU .* ms in \d+ kernels, the rest/,
  );
  expect(evaluation.stdout).toMatch(/ceilings: .* GFLOP\/s of f32 multiply-adds, .* GB\/s of a copy/);
  const decoding = await babelgrad(...common, '--what', 'decode');
  expect(decoding.status, decoding.stderr).toBe(0);
  expect(decoding.stdout).toMatch(/│ attention_cached +│ +1 │/);
  expect(decoding.stdout).toMatch(/a step of decoding \(token 12 of 1 sequence\)/);
});

test('--plan lists nodes, slots and bytes, and times nothing', async () => {
  const { plans, totalBytes } = await json<PlanListings>(['profile', ...STEP, '--plan']);
  expect(plans.map(({ name, times }) => [name, times])).toEqual([
    ['micro-batch', microBatches],
    ['update', 1],
  ]);
  const { stdout, stderr, status } = await babelgrad('profile', ...STEP, '--plan');
  expect(status, stderr).toBe(0);
  expect(stdout).toMatch(
    /^micro-batch, 2 times: \d+ nodes\n0 model\.embedding: embedding_forward\n {2}reads token ids, u32 \[32\]/,
  );
  expect(stdout).toMatch(/ {2}makes model\.embedding, f32 \[32, 64\], 8\.0 KiB, slot \d+ \(0–\d+\)\n/);
  expect(stdout).toMatch(/\nslot \d+, \d.* KiB: [^\n]* \(\d+–\d+\), [^\n]* \(\d+–\d+\)\n/);
  expect(stdout).toContain(`peak: ${(totalBytes / 1024 ** 2).toFixed(1)} MiB, all of these together`);
});

test('adapters and moments in host memory, from flags and a file', async () => {
  const { kernels } = await json<Profile>(['profile', ...STEP, '--lora-rank', '4', '--steps', '1']);
  const labels = kernels.map(({ label }) => label);
  expect(labels).toContain('adamw');
  expect(labels, 'the embedding is frozen').not.toContain('embedding_backward');
  const bytesOf = async (...more: string[]) =>
    (await json<PlanListings>(['profile', ...STEP, '--plan', ...more])).persistentBytes;
  writeFileSync(join(root, 'offload.yaml'), 'offload: moments\n');
  const [whole, adapters, offloaded] = [
    await bytesOf(),
    await bytesOf('--lora-rank', '4'),
    await bytesOf('--config', 'offload.yaml'),
  ];
  const matrices = V * C + 4 * C * C + 3 * C * F;
  const trained = 4 * (4 * (C + C) + 3 * (C + F));
  // the matrices' gradients and two moments, against the adapters with all of these; each tensor begins at 512 bytes
  expect(Math.abs((whole - adapters) / (12 * matrices - 16 * trained) - 1)).toBeLessThan(0.05);
  // of the moments, two slots and two readback buffers are left, of a sixteenth each
  expect(whole - offloaded).toBeGreaterThan(0.7 * 8 * matrices);
  expect(whole - offloaded).toBeLessThan(0.8 * 8 * matrices);
  const { status, stderr } = await babelgrad('profile', ...STEP, '--config', 'offload.yaml', '--steps', '1');
  expect(status, stderr).toBe(0);
});

describe('bad usage ends with status 2 and writes nothing', () => {
  beforeAll(() => {
    writeFileSync(join(root, 'preset.yaml'), 'preset: tiny\n');
  });

  test.each<[string, string[], RegExp, Record<string, string>?]>([
    ['no model', [], /there is nothing to profile: give a model/],
    ['an unknown preset', ['--preset', 'tinny'], /no model preset 'tinny'; there are tiny/],
    [
      'an unknown subject',
      ['--preset', 'tiny', '--what', 'train'],
      /'train' is invalid. Allowed choices are step, eval, decode/,
    ],
    ['no folder of a model', ['--model', 'none'], /'none' is neither a checkpoint/],
    [
      'two models',
      ['--model', 'model', '--config', 'preset.yaml'],
      /preset: --model takes the model of 'model'; remove/,
    ],
    ['no replays', ['--preset', 'tiny', '--steps', '0'], /must be a whole number of at least 1/],
    [
      'a prompt of nothing',
      ['--preset', 'tiny', '--what', 'decode', '--context-length', '1', '--plan'],
      /decoding needs a contextLength of 2 tokens at least/,
    ],
    [
      'a trace in a folder that does not exist',
      [...STEP, '--trace', 'nowhere/trace.json'],
      /cannot write 'nowhere\/trace.json': there is no folder 'nowhere'/,
    ],
    ['a trace in place of a folder', [...STEP, '--trace', '.'], /cannot write '\.': it is a folder/],
    ['a trace of a plan', [...STEP, '--plan', '--trace', 'plan.json'], /--plan runs nothing that --trace could write/],
    [
      'kernels below a file',
      [...STEP, '--trace', 'late.json'],
      /cannot write 'preset.yaml\/wgsl': 'preset.yaml' is not a folder/,
      { BABELGRAD_WGSL: 'preset.yaml/wgsl' },
    ],
  ])('%s', async (_, parameters, message, environment = {}) => {
    const before = readdirSync(root).sort();
    const { status, stdout, stderr } = await runCommand(root, ['profile', ...parameters], environment);
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(readdirSync(root).sort()).toEqual(before);
    expect(existsSync(join(root, 'nowhere'))).toBe(false);
  });
});
