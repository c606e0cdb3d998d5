/** One model out of several, against sums in f64, and what cannot be merged. */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mergeModels } from '../../src/checkpoint/merge.js';
import { loadModel, openModel } from '../../src/checkpoint/model-folder.js';
import { SafetensorsFile } from '../../src/checkpoint/safetensors.js';
import { verifyFolder } from '../../src/checksums.js';
import { UserError } from '../../src/errors.js';
import { parameterSpecs } from '../../src/model/parameters.js';
import { LAYOUTS, packed, safetensors, tensorsOf, writeCheckpoint } from '../support/checkpoints.js';
import { runCommand } from '../support/command.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();
const root = mkdtempSync(join(tmpdir(), 'babelgrad-merge-'));
afterAll(() => rmSync(root, { recursive: true }));
const folder = (name: string) => join(root, name);

const layout = LAYOUTS['SmolLM, BF16, tied, 3 heads to 1']!;
/** How the values of each model differ from those of `a`: by a factor for each tensor, exact in every type. */
const FACTORS: Readonly<Record<string, (tensor: number) => number>> = {
  a: () => 1,
  b: tensor => [0.5, -1, 2][tensor % 3]!,
  c: tensor => [4, 0.25][tensor % 2]!,
};
const read = (name: string) => {
  const { config, weights } = openModel(folder(name));
  try {
    return new Map(parameterSpecs(config).map(spec => [spec.name, weights.read(spec)]));
  } finally {
    weights.close();
  }
};

beforeAll(() => {
  for (const [name, factorOf] of Object.entries(FACTORS)) {
    writeCheckpoint(folder(name), layout);
    const path = join(folder(name), 'model.safetensors');
    const file = SafetensorsFile.open(path);
    const tensors = tensorsOf(layout.config, 'F32');
    let i = 0;
    for (const [tensor, raw] of tensors) {
      const factor = factorOf(i++);
      tensors.set(tensor, {
        ...raw,
        bytes: packed(
          file.read(tensor, raw.shape).map(value => value * factor),
          'F32',
        ),
      });
    }
    file.close();
    writeFileSync(path, safetensors(tensors));
  }
});

/** Σ wᵢ·modelᵢ in f64, rounded once. */
function expected(sum: Readonly<Record<string, number>>): Map<string, Float32Array> {
  const models = Object.entries(sum).map(([name, weight]) => ({ values: read(name), weight }));
  const [first] = models;
  return new Map(
    [...first!.values].map(([tensor, { length }]) => [
      tensor,
      Float32Array.from({ length }, (_, i) =>
        models.reduce((total, { values, weight }) => total + weight * values.get(tensor)![i]!, 0),
      ),
    ]),
  );
}
const models = (...list: [name: string, weight: number][]) =>
  list.map(([name, weight]) => ({ folder: folder(name), weight }));

describe('weights', () => {
  test.each([
    [
      'mean',
      [
        ['a', 1],
        ['b', 1],
      ],
      undefined,
      { a: 0.5, b: 0.5 },
    ],
    [
      'weighted',
      [
        ['a', 1],
        ['b', 2],
        ['c', 1],
      ],
      undefined,
      { a: 0.25, b: 0.5, c: 0.25 },
    ],
    ['arithmetic', [['b', 0.5]], 'a', { a: 0.5, b: 0.5 }],
    [
      'arithmetic-of-two',
      [
        ['b', 1],
        ['c', -0.5],
      ],
      'a',
      { a: 0.5, b: 1, c: -0.5 },
    ],
  ] as [string, [string, number][], string | undefined, Record<string, number>][])(
    '%s',
    async (name, list, base, sum) => {
      const progress: number[] = [];
      const { bytes } = await mergeModels(models(...list), folder(name), {
        type: 'F32',
        base: base && folder(base),
        shardBytes: 20_000,
        onProgress: done => progress.push(done),
      });
      expect(read(name)).toEqual(expected(sum));
      expect(progress.at(-1)).toBe(bytes);
      expect(new Set((await verifyFolder(folder(name)))!.map(({ state }) => state))).toEqual(new Set(['good']));
      expect(existsSync(join(folder(name), 'training.json'))).toBe(false);
    },
  );

  test('a model with itself is itself to the bit, in two bytes too, and loads', async () => {
    await mergeModels(models(['a', 3], ['a', 2]), folder('same'), { type: 'BF16' });
    expect(read('same')).toEqual(read('a'));
    const model = await loadModel(context.device, folder('same'), { precision: 'f32' });
    const [name, values] = [...read('a')][1]!;
    expect(await model.read(name)).toEqual(values);
    model.destroy();
  });
});

describe('refused, and nothing written', () => {
  test('models of other shapes or tokenizers, by name', async () => {
    const other = { ...layout, config: { ...layout.config, num_hidden_layers: 1 } };
    writeCheckpoint(folder('other'), other);
    const options = { type: 'F32' } as const;
    const merge = (name: string) => mergeModels(models(['a', 1], [name, 1]), folder('bad'), options);
    await expect(merge('other')).rejects.toThrow(/other' has \w+ .*, and '.*a' .*: only models of one shape/);
    cpSync(folder('a'), folder('french'), { recursive: true });
    for (const [name, token] of Object.entries({ a: 'x', french: 'y' })) {
      const tokenizer = { model: { type: 'BPE', vocab: { [token]: 0 }, merges: [] } };
      writeFileSync(join(folder(name), 'tokenizer.json'), JSON.stringify(tokenizer));
    }
    await expect(merge('french')).rejects.toThrow(/french' and '.*a' have different tokenizers/);
    for (const name of ['a', 'french']) rmSync(join(folder(name), 'tokenizer.json'));
    expect(existsSync(folder('bad'))).toBe(false);
  });

  test.each([
    ['one model alone', [['a', 1]], undefined, /two models, or one and a base/],
    ['no model', [], 'a', /needs a model beside its base/],
    [
      'weights that add up to nothing',
      [
        ['a', 1],
        ['b', -1],
      ],
      undefined,
      /add up to 0; a mean needs a sum above 0/,
    ],
    [
      'a weight that is no number',
      [
        ['a', Number.NaN],
        ['b', 1],
      ],
      undefined,
      /weight of '.*a' is NaN/,
    ],
    ['values beyond the type', [['b', 1e9]], 'a', /would hold .* beyond the largest value of F16 \(65504\)/],
  ] as [string, [string, number][], string | undefined, RegExp][])('%s', async (_, list, base, message) => {
    const attempt = mergeModels(models(...list), folder('bad'), { type: 'F16', base: base && folder(base) });
    await expect(attempt).rejects.toThrow(UserError);
    await expect(attempt).rejects.toThrow(message);
    expect(existsSync(folder('bad'))).toBe(false);
  });
});

test('the command', async () => {
  const run = (...parameters: string[]) => runCommand(root, ['merge', ...parameters]);
  const { status, stdout, stderr } = await run('a', 'b', '--weights', '3,1', '--out', 'by-command', '--json');
  expect(status, stderr).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ models: [{ folder: 'a', weight: 3 }, { weight: 1 }], dtype: 'f32' });
  expect(read('by-command')).toEqual(expected({ a: 0.75, b: 0.25 }));
  const before = readFileSync(join(folder('by-command'), 'config.json'));
  for (const [parameters, message] of [
    [['a', 'b', '--weights', '3', '--out', 'bad'], /--weights '3' must be 2 numbers/],
    [['a', 'b', '--out', 'by-command'], /'by-command' is there already/],
    [['a', 'nowhere', '--out', 'bad'], /'nowhere' is neither a checkpoint/],
    [['a', 'b'], /required option '--out <folder>'/],
  ] as [string[], RegExp][]) {
    const { status, stderr } = await run(...parameters);
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
  }
  expect(readFileSync(join(folder('by-command'), 'config.json'))).toEqual(before);
  expect(existsSync(folder('bad'))).toBe(false);
});
