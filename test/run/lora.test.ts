/** Runs that train low-rank adapters: what stays, going on to the same bits, PEFT's layout, and what is refused. */
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { delimiter, join, relative } from 'node:path';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { exportModel } from '../../src/checkpoint/export.js';
import { exportPeft } from '../../src/checkpoint/export-peft.js';
import { readModelConfig } from '../../src/checkpoint/hf-config.js';
import { loadLoraModel, openAdapters } from '../../src/checkpoint/lora-model.js';
import { mergeModels } from '../../src/checkpoint/merge.js';
import { loadModel, openModel } from '../../src/checkpoint/model-folder.js';
import { SafetensorsFile } from '../../src/checkpoint/safetensors.js';
import { checkModelFiles } from '../../src/checkpoint/whole.js';
import { UserError } from '../../src/errors.js';
import { openDevice } from '../../src/gpu/open-device.js';
import { logits } from '../../src/index.js';
import { adapterGroups, initialAdapter } from '../../src/model/lora.js';
import { parameterSpecs } from '../../src/model/parameters.js';
import { gamma } from '../../src/numerics/bounds.js';
import { parseConfig } from '../../src/run/config.js';
import { dryRun } from '../../src/run/dry-run.js';
import { readRunConfig } from '../../src/run/folder.js';
import { loraOf } from '../../src/run/lora.js';
import { resumeRun } from '../../src/run/resume.js';
import { timeMicroBatch } from '../../src/run/speed.js';
import { startRun } from '../../src/run/start.js';
import { useDevice } from '../support/gpu.js';
import { bytesOf, useSmallRuns } from '../support/small-runs.js';

const context = useDevice();
/** Where nothing else is, to see what is taken. */
const timed = useDevice({});
const { root, data, run, start, lastCheckpoint } = useSmallRuns(context);
const hasHalves = () => context.device.adapter.features.includes('shader-f16');
const STEPS = 4;
const fields = (name: string, more: Record<string, unknown> = {}) =>
  parseConfig(
    {
      out: run(name),
      sources: [{ name: 'fr', path: data('fr') }],
      tokens: STEPS * 128,
      contextLength: 32,
      batchTokens: 128,
      microBatch: 2,
      learningRate: 1e-2,
      warmup: 0,
      evalEveryTokens: STEPS * 128,
      evalTokens: 200,
      checkpointEveryTokens: 128,
      keepCheckpoints: 100,
      lora: { rank: 4 },
      ...more,
    },
    'the test',
  );
const cpt = (name: string, more: Record<string, unknown> = {}, from = run('base')) =>
  startRun(fields(name, more), { device: context.device, from });
const adapters = (folder: string) => {
  const file = SafetensorsFile.open(join(folder, 'adapter_model.safetensors'));
  const tensors = new Map(file.names.map(name => [name, file.read(name, file.shape(name))]));
  file.close();
  return tensors;
};

beforeAll(async () => {
  await start('base', { tokens: 2 * 128, checkpointEveryTokens: 256, numHiddenLayers: 2 });
  await exportModel(lastCheckpoint('base'), run('base-bf16'), { type: 'BF16' });
});
afterEach(() => vi.unstubAllEnvs());

describe.each(['f32', 'f16'] as const)('a run of adapters, in %s', precision => {
  test('trains them alone, and is resumed to the same bits', async () => {
    if (precision === 'f16' && !hasHalves()) return;
    const name = `whole-${precision}`;
    const before = bytesOf(lastCheckpoint('base'), 'model.safetensors');
    const { heldOut } = await cpt(name, { precision });
    expect(readRunConfig(run(name)).lora).toMatchObject({ rank: 4, alpha: 8, baseType: precision });
    expect(bytesOf(lastCheckpoint('base'), 'model.safetensors').equals(before)).toBe(true);
    const folder = lastCheckpoint(name);
    expect(readdirSync(folder)).not.toContain('model.safetensors');
    const first = adapters(join(folder, '..', 'step-00000000'));
    const last = adapters(folder);
    expect(last.size).toBe(2 * 7 * 2);
    for (const [tensor, values] of last) {
      expect(tensor).toMatch(/^base_model\.model\.model\.layers\.[01]\.(self_attn|mlp)\.\w+_proj\.lora_[AB]\.weight$/);
      expect(
        first.get(tensor)!.every(value => value === 0),
        tensor,
      ).toBe(tensor.includes('lora_B'));
      expect(
        values.every((value, i) => value === first.get(tensor)![i]),
        tensor,
      ).toBe(false);
    }
    const metrics = readFileSync(join(run(name), 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line));
    const losses = metrics.filter(({ kind }) => kind === 'evaluation').map(line => line.heldOut.fr.loss);
    expect(losses.at(-1)).toBeLessThan(losses[0]);
    expect(heldOut.fr!.loss).toBe(losses.at(-1));

    const abort = new AbortController();
    const stopped = `stopped-${precision}`;
    await startRun(fields(stopped, { precision }), {
      device: context.device,
      from: run('base'),
      signal: abort.signal,
      observer: { onStep: ({ step }) => step === 2 && abort.abort() },
    });
    await resumeRun(run(stopped), { device: context.device });
    for (const file of ['adapter_model.safetensors', 'optimizer.safetensors', 'adapter_config.json']) {
      expect(bytesOf(lastCheckpoint(stopped), file).equals(bytesOf(folder, file)), file).toBe(true);
    }
  });
});

test.each([
  ['f32', 'base'],
  ['f32', 'base-bf16'],
  ['f16', 'base'],
] as const)('is timed as adapters, and not as training of the whole: in %s, on %s', async (precision, base) => {
  if (precision === 'f16' && !hasHalves()) return;
  const peakOf = async (lora?: { rank: number }) => {
    const { run: resolved, memory } = await dryRun(fields('timed', { precision, lora }), { from: run(base) });
    const { device } = timed;
    device.memory.peakBytes = device.memory.bytes; // of what reports are read through
    expect(await timeMicroBatch(device, resolved)).toBeGreaterThan(0);
    return [device.memory.peakBytes, memory.peak] as const;
  };
  const [taken, told] = await peakOf({ rank: 4 });
  expect(taken).toBeLessThan(1.01 * told);
  expect(taken).toBeLessThan((await peakOf())[0]);
});

describe('what a run of adapters leaves', () => {
  test('has the logits of the base with adapters beside it, when merged', async () => {
    const { device } = context;
    const folder = lastCheckpoint('whole-f32');
    const { lora } = readRunConfig(run('whole-f32'));
    const { read, close } = openAdapters(folder);
    const variants = undefined;
    const beside = await loadLoraModel(device, lastCheckpoint('base'), { variants, lora: lora!, adapter: read });
    close();
    const merged = await loadModel(device, folder);
    const base = await loadModel(device, lastCheckpoint('base'));
    const sequences = Uint32Array.from({ length: 2 * 16 }, (_, i) => (7 * i + 3) % 300);
    const shape = { B: 2, T: 16 };
    const of = (model: typeof merged) => logits(model, sequences, shape);
    const [a, b, c] = [await of(beside), await of(merged), await of(base)];
    const apart = (x: Float32Array, y: Float32Array) => Math.max(...x.map((value, i) => Math.abs(value - y[i]!)));
    const largest = Math.max(...a.map(Math.abs));
    // each of some ten roundings of sums of at most 48 terms a layer, two layers: far below what adapters change
    expect(apart(a, b)).toBeLessThan(20 * gamma(48) * Math.max(1, largest));
    expect(apart(a, c)).toBeGreaterThan(100 * apart(a, b));
    for (const model of [beside, merged, base]) model.destroy();
  });

  test('is exported merged, as `merge` merges it, and continued from', async () => {
    const folder = lastCheckpoint('whole-f32');
    await exportModel(folder, run('exported'), { type: 'F32' });
    await mergeModels([{ folder, weight: 1 }], run('merged'), { type: 'F32', base: lastCheckpoint('base') });
    const [a, b] = ['exported', 'merged'].map(name => bytesOf(run(name), 'model.safetensors'));
    expect(a!.equals(b!)).toBe(true);
    const { config, weights } = openModel(folder);
    expect(weights.check(parameterSpecs(config))).toEqual([]);
    weights.close();
    await cpt('on', { lora: undefined, tokens: 128 }, run('whole-f32'));
    expect(existsSync(join(lastCheckpoint('on'), 'model.safetensors'))).toBe(true);
    await cpt('again', { tokens: 128 }, run('whole-f32'));
    expect(adapters(lastCheckpoint('again')).size).toBe(28);
  });

  test('is exported for PEFT, and read back as the same model', async () => {
    const folder = lastCheckpoint('whole-f32');
    await exportPeft(folder, run('peft'), { type: 'F32' });
    expect(adapters(run('peft'))).toEqual(adapters(folder));
    const config = JSON.parse(readFileSync(join(run('peft'), 'adapter_config.json'), 'utf8'));
    expect(config).toMatchObject({ peft_type: 'LORA', r: 4, lora_alpha: 8, bias: 'none', use_rslora: false });
    expect(config.target_modules).toHaveLength(7);
    expect(existsSync(config.base_model_name_or_path)).toBe(true);
    await exportModel(run('peft'), run('peft-merged'), { type: 'F32' });
    const [a, b] = ['peft-merged', 'exported'].map(name => bytesOf(run(name), 'model.safetensors'));
    expect(a!.equals(b!)).toBe(true);
    await exportPeft(folder, run('peft-bf16'), { type: 'BF16' });
    const [wide, rounded] = [folder, run('peft-bf16')].map(adapters);
    for (const [tensor, values] of wide!) {
      const near = (value: number, i: number) => Math.abs(value - values[i]!) <= 2 ** -8 * Math.abs(values[i]!);
      expect(rounded!.get(tensor)!.every(near), tensor).toBe(true);
    }
    const notes: string[] = [];
    await exportPeft(lastCheckpoint('again'), run('peft-on-peft'), { type: 'F32', onNote: note => notes.push(note) });
    expect(notes).toEqual([expect.stringMatching(/^note: the base '.*whole-f32.*' is an adapter itself/)]);
    await expect(exportPeft(lastCheckpoint('base'), run('no'), { type: 'F32' })).rejects.toThrow(/is a whole model/);
    expect(existsSync(run('no'))).toBe(false);
  });

  test('finds a base that moved, and refuses another one', async () => {
    cpSync(lastCheckpoint('base'), run('movable'), { recursive: true });
    await cpt('moved', { tokens: 256 }, run('movable'));
    renameSync(run('movable'), run('elsewhere'));
    const folder = lastCheckpoint('moved');
    expect(() => openModel(folder)).toThrow(
      /is an adapter of the model '.*movable', which is not there; set BABELGRAD_BASE/,
    );
    await expect(resumeRun(run('moved'), { device: context.device })).rejects.toThrow(/BABELGRAD_BASE/);
    vi.stubEnv('BABELGRAD_BASE', relative('.', run('elsewhere')));
    await exportPeft(folder, run('peft-moved'), { type: 'F32' });
    const config = JSON.parse(readFileSync(join(run('peft-moved'), 'adapter_config.json'), 'utf8'));
    expect(config.base_model_name_or_path).toBe(run('elsewhere'));
    vi.stubEnv('BABELGRAD_BASE', run('elsewhere'));
    expect(await checkModelFiles(folder)).toEqual([]);
    await resumeRun(run('moved'), { device: context.device });
    const weights = join(run('elsewhere'), 'model.safetensors');
    const bytes = readFileSync(weights);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(weights, bytes);
    await expect(checkModelFiles(folder)).rejects.toThrow(
      /elsewhere' is not what the adapter '.*' was trained beside \('model\.safetensors'/,
    );
    await expect(resumeRun(run('moved'), { device: context.device })).rejects.toThrow(/SHA-256 is another/);
  });
});

test('of an adapter on an adapter all that it stands on is checked, and found where it is', async () => {
  const one = { tokens: 128, checkpointEveryTokens: 128 };
  cpSync(lastCheckpoint('base'), run('root'), { recursive: true });
  const { checkpoint: lower } = await cpt('lower', one, run('root'));
  const { checkpoint: upper } = await cpt('upper', one, lower);
  await checkModelFiles(upper);
  const merged = mergeModels([{ folder: lower, weight: 1 }], run('never'), { base: run('base-bf16'), type: 'F32' });
  await expect(merged).rejects.toThrow(/is not what the adapter .* was trained beside/);
  renameSync(run('root'), run('root-moved'));
  renameSync(run('lower'), run('lower-moved'));
  const moved = [lower.replace(run('lower'), run('lower-moved')), run('root-moved')];
  vi.stubEnv('BABELGRAD_BASE', moved[0]!);
  await expect(checkModelFiles(upper)).rejects.toThrow(/is not there, nor is a model in BABELGRAD_BASE/);
  vi.stubEnv('BABELGRAD_BASE', moved.join(delimiter));
  await checkModelFiles(upper);
  const path = join(run('root-moved'), 'model.safetensors');
  const bytes = readFileSync(path);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(path, bytes);
  await expect(checkModelFiles(upper)).rejects.toThrow(/trained beside \('base of it: model\.safetensors'/);
});

test.each([
  ['in f32, of a base in f32', 'base', {}, 'f32'],
  ['in f32, of a base in bf16', 'base-bf16', {}, 'bf16'],
  ['in f32, rounded to bf16', 'base', { weightType: 'bf16' }, 'bf16'],
  ['in f16', 'base', { precision: 'f16' }, 'f16'],
  [
    'some targets, moments in 8 bits, layers recomputed',
    'base-bf16',
    {
      lora: { rank: 3, alpha: 6, targets: ['v_proj', 'up_proj', 'down_proj'] },
      momentType: '8bit',
      checkpointing: 'layer',
    },
    'bf16',
  ],
] as const)('a dry run tells the bytes %s', async (_, from, more, baseType) => {
  if ('precision' in more && !hasHalves()) return;
  const config = fields('dry', {
    tokens: 2 * 128,
    ...more,
    out: join(root, `dry-${from}-${Object.keys(more).join('-')}`),
  });
  const { run: planned, memory, checkpointBytes, notes } = await dryRun(config, { from: run(from) });
  expect(planned.lora!.baseType).toBe(baseType);
  expect(notes.join('\n')).toContain(`with matrices in ${baseType}`);
  const device = await openDevice();
  const { checkpoint } = await startRun(config, { device, from: run(from) });
  expect(device.memory.peakBytes).toBe(memory.peak);
  device.close();
  const written = adapters(checkpoint);
  const values = [...written.values()].reduce((sum, { length }) => sum + length, 0);
  const optimizer = SafetensorsFile.open(join(checkpoint, 'optimizer.safetensors'));
  optimizer.close();
  expect(checkpointBytes).toBeGreaterThan(4 * values);
  expect(checkpointBytes).toBeLessThan(13 * values + 100_000);
});

test('a base of a run that is not done is warned of, since that run removes its old checkpoints', async () => {
  const going = run('going');
  cpSync(run('base'), going, { recursive: true });
  const notes = async () => (await dryRun(fields('beside'), { from: going })).notes.join('\n');
  expect(await notes()).not.toContain('which is not done');
  const config = JSON.parse(readFileSync(join(going, 'config.json'), 'utf8'));
  writeFileSync(join(going, 'config.json'), JSON.stringify({ ...config, steps: 3 }));
  expect(await notes()).toContain(
    `warning: the base '${lastCheckpoint('going')}' is of the run '${going}', which is not`,
  );
  const whole = await dryRun(fields('beside', { lora: undefined }), { from: going });
  expect(whole.notes.join('\n')).not.toContain('which is not done');
  writeFileSync(join(going, 'config.json'), '{');
  expect(await notes(), 'of a run that cannot be read nothing is known').not.toContain('which is not done');
});

test('initial adapters differ by seed and name', () => {
  const spec = { name: 'x.lora_A.weight', shape: [2, 100], decay: true };
  const [a, b, c] = [
    initialAdapter(1)(spec),
    initialAdapter(2)(spec),
    initialAdapter(1)({ ...spec, name: 'y.lora_A.weight' }),
  ];
  expect(a).not.toEqual(b);
  expect(a).not.toEqual(c);
  expect(Math.max(...a.map(Math.abs))).toBeLessThanOrEqual(0.1);
});

test('a Phi-3 has adapters of its fused projections', () => {
  const phi = { ...readModelConfig(lastCheckpoint('base')), fusedProjections: true };
  const lora = loraOf(fields('phi', { lora: { rank: 2 } }), phi, true, undefined)!;
  expect(lora.targets).toEqual(['qkv_proj', 'o_proj', 'gate_up_proj', 'down_proj']);
  const layer = 'model.layers.0.self_attn.qkv_proj';
  const [a, b] = adapterGroups(phi, lora);
  expect(a).toMatchObject({ name: `${layer}.lora_A.weight`, shape: [2, phi.hiddenSize] });
  expect(b).toMatchObject({
    name: `${layer}.lora_B.weight`,
    shape: [(phi.numAttentionHeads + 2 * phi.numKeyValueHeads) * phi.headDim, 2],
  });
});

test.each([
  ['rank 0', { lora: { rank: 0 } }, /field 'lora\.rank' is 0/],
  ['a rank above a matrix', { lora: { rank: 33 } }, /rank 33 is higher than the 32 of 'model\.layers\.0\.self_attn/],
  ['another projection', { lora: { rank: 4, targets: ['lm_head'] } }, /field 'lora\.targets\.0' is "lm_head"/],
  ['a projection that others have', { lora: { rank: 4, targets: ['qkv_proj'] } }, /no qkv_proj; .* are q_proj, k_proj/],
  ['no rank', { lora: { alpha: 4 } }, /field 'lora\.rank' is missing/],
  ['an average', { emaDecay: 0.9 }, /lora does not go with emaDecay/],
  ['groups', { parameterGroups: [{ match: ['*norm*'], frozen: true }] }, /lora does not go with parameterGroups/],
  ['a frozen body', { freezeBodyTokens: 128 }, /lora does not go with freezeBodyTokens/],
  ['kept moments', { optimizerState: 'keep' }, /lora does not go with optimizerState keep/],
  ['moments on the host', { offload: 'moments' }, /lora does not go with offload moments/],
  ['diloco', { parallel: 'diloco' }, /lora does not go with parallel diloco/],
])('refuses %s, and writes nothing', async (_, more, message) => {
  const refused = Promise.resolve().then(() => cpt('refused', more));
  await expect(refused).rejects.toThrow(message);
  await expect(refused).rejects.toThrow(UserError);
  expect(existsSync(run('refused'))).toBe(false);
});

test('is refused without a base', async () => {
  await expect(start('refused', { lora: { rank: 4 } })).rejects.toThrow(/use cpt --from/);
});
