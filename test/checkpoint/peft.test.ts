/** LoRA adapters in PEFT's layout, merged into their base, against sums in f64; and adapters that cannot be. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mergeModels } from '../../src/checkpoint/merge.js';
import { openModel } from '../../src/checkpoint/model-folder.js';
import { UserError } from '../../src/errors.js';
import { type ParameterSpec, parameterSpecs } from '../../src/model/parameters.js';
import { Random } from '../../src/random.js';
import { LAYOUTS, packed, safetensors, writeCheckpoint } from '../support/checkpoints.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-peft-'));
afterAll(() => rmSync(root, { recursive: true }));
const folder = (name: string) => join(root, name);
const RANK = 3;
const ADAPTED = /^model\.layers\.\d+\.(self_attn\.(q|v)_proj|mlp\.down_proj)\.weight$/;
/** What PEFT writes into adapter_config.json, of which the reader takes what decides the sum. */
const CONFIG = {
  ...{ alpha_pattern: {}, auto_mapping: null, base_model_name_or_path: 'base', bias: 'none', fan_in_fan_out: false },
  ...{ inference_mode: true, init_lora_weights: true, lora_alpha: 8, lora_bias: false, lora_dropout: 0.05 },
  ...{ modules_to_save: null, peft_type: 'LORA', r: RANK, rank_pattern: {}, task_type: 'CAUSAL_LM' },
  ...{ target_modules: ['q_proj', 'v_proj', 'down_proj'], use_dora: false, use_rslora: false },
};

const values = (label: string, count: number) => {
  const random = new Random(3, label);
  return Float32Array.from({ length: count }, () => random.normal());
};
const read = (name: string) => {
  const { config, weights } = openModel(folder(name));
  const specs = parameterSpecs(config);
  const all = new Map(specs.map(spec => [spec.name, weights.read(spec)]));
  weights.close();
  return { specs, all };
};
const nameOf = ({ name }: ParameterSpec, part: 'A' | 'B') =>
  `base_model.model.${name.replace('.weight', '')}.lora_${part}.weight`;

type Tensors = Parameters<typeof safetensors>[0];

function tensorsOf(
  adapted: readonly ParameterSpec[],
): Map<string, Tensors extends ReadonlyMap<string, infer T> ? T : never> {
  return new Map(
    adapted.flatMap(spec => {
      const [rows, columns] = spec.shape as [number, number];
      return (['A', 'B'] as const).map(part => {
        const shape = part === 'A' ? [RANK, columns] : [rows, RANK];
        const name = nameOf(spec, part);
        return [name, { dtype: 'F32', shape, bytes: packed(values(name, shape[0]! * shape[1]!), 'F32') }] as const;
      });
    }),
  );
}

function writeAdapter(name: string, config: object, tensors: Tensors): string {
  mkdirSync(folder(name), { recursive: true });
  writeFileSync(join(folder(name), 'adapter_config.json'), JSON.stringify(config));
  writeFileSync(join(folder(name), 'adapter_model.safetensors'), safetensors(tensors));
  return folder(name);
}

let adapted: readonly ParameterSpec[];
beforeAll(() => {
  writeCheckpoint(folder('base'), LAYOUTS['SmolLM, BF16, tied, 3 heads to 1']!);
  adapted = read('base').specs.filter(({ name }) => ADAPTED.test(name));
});

test.each([
  ['alpha / r', {}, 1, 8 / RANK],
  ['alpha / √r', { use_rslora: true }, 1, 8 / Math.sqrt(RANK)],
  ['a part of it', {}, 0.5, 4 / RANK],
])(
  'an adapter is added with %s, in f64 and rounded once, and the rest keeps its bits',
  async (_, more, weight, scale) => {
    const adapter = writeAdapter('adapter', { ...CONFIG, ...more }, tensorsOf(adapted));
    const out = `merged-${scale}`;
    await mergeModels([{ folder: adapter, weight }], folder(out), { type: 'F32', base: folder('base') });
    const [{ specs, all: before }, { all: after }] = [read('base'), read(out)];
    expect(adapted.length).toBeGreaterThan(2);
    for (const spec of specs) {
      const base = before.get(spec.name)!;
      if (!adapted.includes(spec) && !ADAPTED.test(spec.name)) {
        expect(after.get(spec.name), spec.name).toEqual(base);
        continue;
      }
      const [, columns] = spec.shape as [number, number];
      const [a, b] = [
        values(nameOf(spec, 'A'), RANK * columns),
        values(nameOf(spec, 'B'), (base.length / columns) * RANK),
      ];
      after.get(spec.name)!.forEach((value, at) => {
        const [row, column] = [Math.floor(at / columns), at % columns];
        const terms = Array.from({ length: RANK }, (_, i) => scale * b[row * RANK + i]! * a[i * columns + column]!);
        const sum = terms.reduce((total, term) => total + term, base[at]!);
        const magnitude = terms.reduce((total, term) => total + Math.abs(term), Math.abs(base[at]!));
        // one rounding to f32, and those of a few operations in f64
        expect(Math.abs(value - sum)).toBeLessThanOrEqual(2 ** -24 * Math.abs(sum) + 2 ** -48 * magnitude);
      });
    }
  },
);

const tensor = (shape: number[]) => ({ dtype: 'F32', shape, bytes: new Uint8Array(4 * shape.reduce((x, y) => x * y)) });

test.each<[string, object, ((tensors: Map<string, ReturnType<typeof tensor>>) => void) | undefined, RegExp]>([
  ['another method', { ...CONFIG, peft_type: 'IA3' }, undefined, /peft_type is "IA3": adapters of LoRA alone/],
  ['DoRA', { ...CONFIG, use_dora: true }, undefined, /use_dora is true: DoRA cannot be merged here/],
  ['biases', { ...CONFIG, bias: 'all' }, undefined, /bias is "all": trained biases/],
  [
    'whole modules',
    { ...CONFIG, modules_to_save: ['lm_head'] },
    undefined,
    /modules_to_save.0 is "lm_head": a whole module beside the adapter/,
  ],
  ['ranks by pattern', { ...CONFIG, rank_pattern: { q_proj: 2 } }, undefined, /rank_pattern/],
  ['no rank', { ...CONFIG, r: undefined }, undefined, /r is missing/],
  ['another rank', { ...CONFIG, r: 4 }, undefined, /lora_A\.weight' has shape \[3, \d+\]; with rank 4 .* it is \[4, /],
  ['a matrix without B', CONFIG, all => all.delete([...all.keys()].at(-1)!), /has no tensor '.*lora_B\.weight'/],
  [
    'an embedding',
    CONFIG,
    all => all.set('base_model.model.model.embed_tokens.lora_embedding_A', tensor([3, 4])),
    /is no lora_A/,
  ],
  [
    'a layer too many',
    CONFIG,
    all => all.set('base_model.model.model.layers.99.mlp.up_proj.lora_A.weight', tensor([3, 4])),
    /layers\.99/,
  ],
  ['no tensors', CONFIG, all => all.clear(), /has no tensors/],
])('refuses %s, and writes nothing', async (_, config, edit, message) => {
  const tensors = tensorsOf(adapted);
  edit?.(tensors as Map<string, ReturnType<typeof tensor>>);
  const adapter = writeAdapter('bad', config, tensors);
  const merged = mergeModels([{ folder: adapter, weight: 1 }], folder('refused'), {
    type: 'F32',
    base: folder('base'),
  });
  await expect(merged).rejects.toThrow(message);
  await expect(merged).rejects.toThrow(UserError);
  expect(existsSync(folder('refused'))).toBe(false);
});

test('refuses an adapter without its base, and one without safetensors', async () => {
  const adapter = writeAdapter('alone', CONFIG, tensorsOf(adapted));
  const alone = mergeModels([{ folder: adapter, weight: 1 }], folder('refused'), { type: 'F32' });
  await expect(alone).rejects.toThrow(/is an adapter, which needs the model that it was trained on: give a base/);
  rmSync(join(adapter, 'adapter_model.safetensors'));
  const without = mergeModels([{ folder: adapter, weight: 1 }], folder('refused'), {
    type: 'F32',
    base: folder('base'),
  });
  await expect(without).rejects.toThrow(/has no adapter_model\.safetensors; save the adapter with/);
});
