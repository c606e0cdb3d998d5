/**
 * AdamW's moments in a checkpoint's optimizer.safetensors: of a parameter in f32 `NAME.m` and `NAME.v`, of a group of
 * parameters in 8 bits `GROUP.codes` and `GROUP.maxima`, as the device keeps them (src/kernels/adamw-8bit.ts).
 */
import { sizeOf } from '../autograd/tensor.js';
import { type SafetensorsFile, showIndex } from '../checkpoint/safetensors.js';
import { floatTensor, type TensorSource } from '../checkpoint/safetensors-write.js';
import { UserError } from '../errors.js';
import { codesShape, maximaShape } from '../kernels/adamw-8bit.js';
import type { Model } from '../model/model.js';
import type { ParameterGroup } from '../model/parameters.js';
import { isCoded, type MomentSource } from '../train/moments.js';
import type { Trainer } from '../train/step.js';

const codesOf = (group: string): string => `${group}.codes`;
const maximaOf = (group: string): string => `${group}.maxima`;

/** Returns a trainer's moments as tensors to be written, in the order of the model; what is frozen has none. */
export function momentTensors(trainer: Trainer): TensorSource[] {
  const { model, state } = trainer;
  const trained = model.groups.filter(({ name }) => state.moments.has(name));
  return trained.flatMap(({ name: group, parts, shape: whole, decay }): TensorSource[] => {
    if (!isCoded({ decay }, state.moments.type)) {
      return parts.flatMap(({ name, shape }) =>
        (['m', 'v'] as const).map(moment =>
          floatTensor(`${name}.${moment}`, shape, async () => (await trainer.moments(name))[moment]),
        ),
      );
    }
    const count = sizeOf(whole);
    const coded = () => trainer.codedMoments(group);
    return [
      { name: codesOf(group), shape: codesShape(count), dtype: 'U8', read: async () => (await coded()).codes },
      floatTensor(maximaOf(group), maximaShape(count), async () => (await coded()).maxima),
    ];
  });
}

/** Returns what a file lacks of the moments of groups, or has in another shape; undefined where it has all. */
export function momentFault(file: SafetensorsFile, groups: readonly ParameterGroup[]): string | undefined {
  const names = new Set(file.names);
  for (const group of groups) {
    const count = sizeOf(group.shape);
    const expected: (readonly [string, readonly number[]])[] = names.has(codesOf(group.name))
      ? [
          [codesOf(group.name), codesShape(count)],
          [maximaOf(group.name), maximaShape(count)],
        ]
      : group.parts.flatMap(({ name, shape }) => ['m', 'v'].map(moment => [`${name}.${moment}`, shape] as const));
    for (const [name, shape] of expected) {
      if (!names.has(name)) return `'${file.path}' has no '${name}'`;
      const found = file.shape(name);
      if (found.join() !== shape.join()) {
        return `in '${file.path}' '${name}' has shape [${found.join(', ')}], and the model [${shape.join(', ')}]`;
      }
    }
  }
  return undefined;
}

/** Returns a model's moments out of a file. They are read when they are asked for. */
export function momentsIn(file: SafetensorsFile, { specs, groups }: Pick<Model, 'specs' | 'groups'>): MomentSource {
  const names = new Set(file.names);
  const shapes = new Map([...specs, ...groups].map(({ name, shape }) => [name, shape]));
  return {
    momentsOf(name) {
      const shape = shapes.get(name)!;
      return { m: file.read(`${name}.m`, shape), v: file.read(`${name}.v`, shape) };
    },
    codedOf(group) {
      if (!names.has(codesOf(group))) return undefined;
      const count = sizeOf(shapes.get(group)!);
      const maxima = file.read(maximaOf(group), maximaShape(count));
      const bad = maxima.findIndex(value => value < 0);
      if (bad >= 0) {
        const place = showIndex(bad, maximaShape(count));
        throw new UserError(
          `'${file.path}': '${maximaOf(group)}' is ${maxima[bad]} at ${place}; a maximum is no less than 0`,
        );
      }
      return { codes: file.readBytes(codesOf(group), codesShape(count)), maxima };
    },
  };
}
