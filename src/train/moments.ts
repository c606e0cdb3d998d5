/** AdamW's moments of a model's parameters on the device: in f32, or those of matrices in 8 bits. */
import { Arena } from '../autograd/arena.js';
import { bytesOf, sizeOf, type Tensor } from '../autograd/tensor.js';
import { UserError } from '../errors.js';
import type { DeviceBuffer } from '../gpu/buffer.js';
import type { Memory } from '../gpu/memory.js';
import { codedSizes, codesShape, maximaShape } from '../kernels/adamw-8bit.js';
import type { MomentsOf } from '../kernels/tensor-health.js';
import type { Model } from '../model/model.js';
import type { ParameterGroup } from '../model/parameters.js';
import { type CodedMoments, decodeMoments, encodeMoments, type Moments } from '../optim/moment-codes.js';
import { HostMoments, type MomentStretch, type Offload } from './host-moments.js';

/** What moments are kept in. */
export const MOMENT_TYPES = ['f32', '8bit'] as const;
export type MomentType = (typeof MOMENT_TYPES)[number];

/** Whether the moments of a group are kept in 8 bits: those of norms and biases are no memory to speak of. */
export const isCoded = ({ decay }: Pick<ParameterGroup, 'decay'>, type: MomentType): boolean =>
  type === '8bit' && decay;

/** The bytes of a group's moments in a checkpoint. */
export function bytesOfMoments(group: ParameterGroup, type: MomentType): number {
  const count = sizeOf(group.shape);
  const { codes, maxima } = codedSizes(count);
  return isCoded(group, type) ? codes + 4 * maxima : 8 * count;
}

/** How moments are kept. */
export interface MomentStorage {
  readonly type: MomentType;
  /** `moments`: those of matrices in host memory. Those of norms and biases are no memory to speak of. */
  readonly offload: Offload;
}

/** The moments by group; those in f32 stand in the order of the groups. */
export class MomentTensors {
  readonly type: MomentType;
  readonly #offloaded: ReadonlySet<string>;
  #host: HostMoments | undefined;
  readonly #plain: readonly [m: Arena, v: Arena];
  readonly #coded: readonly [codes: Arena, maxima: Arena];

  /** @throws UserError when a buffer exceeds the adapter's limits. */
  constructor(memory: Memory, all: readonly ParameterGroup[], { type, offload }: MomentStorage) {
    this.type = type;
    const offloaded = all.filter(({ decay }) => offload === 'moments' && decay);
    this.#offloaded = new Set(offloaded.map(({ name }) => name));
    const groups = all.filter(({ name }) => !this.#offloaded.has(name));
    const coded = groups.filter(group => isCoded(group, type));
    const plain = groups.filter(group => !isCoded(group, type));
    const shaped = (shapeOf: (count: number) => readonly number[]) =>
      coded.map(({ name, shape }) => ({ name, shape: shapeOf(sizeOf(shape)) }));
    const made: Arena[] = [];
    const arena = (...given: ConstructorParameters<typeof Arena>) => {
      made.push(new Arena(...given));
      return made.at(-1)!;
    };
    try {
      this.#plain = [arena(memory, 'm', plain), arena(memory, 'v', plain)];
      this.#coded = [
        arena(memory, 'codes of moments', shaped(codesShape), 'u8'),
        arena(memory, 'maxima of moments', shaped(maximaShape)),
      ];
    } catch (error) {
      for (const one of made) one.destroy();
      throw error;
    }
  }

  /** Makes room for those that are kept in host memory, by the stretches that are updated at once. */
  offload(memory: Memory, stretches: readonly MomentStretch[], slotBytes?: number): HostMoments {
    this.#host = new HostMoments(memory, stretches, slotBytes);
    return this.#host;
  }

  get host(): HostMoments | undefined {
    return this.#host;
  }

  /** The buffers on the device; of what is kept in host memory the slots that it passes through. */
  get buffers(): readonly DeviceBuffer[] {
    return [...this.#plain, ...this.#coded, ...(this.#host ? [this.#host] : [])].flatMap(({ buffers }) => buffers);
  }

  /** Whether a group has moments: one that is frozen has none. */
  has(group: string): boolean {
    return this.#plain[0].has(group) || this.#coded[0].has(group) || this.isOffloaded(group);
  }

  isOffloaded(group: string): boolean {
    return this.#offloaded.has(group);
  }

  /** The moments of a group on the device; undefined where they are kept in host memory. */
  of(group: string): MomentsOf<Tensor> | undefined {
    return this.isOffloaded(group) ? undefined : this.span([group]);
  }

  /** Whether the moments of two groups stand in one stretch, if their parameters do: those in 8 bits have blocks. */
  areNeighbours(a: string, b: string): boolean {
    if (this.isOffloaded(a) || this.isOffloaded(b)) {
      return this.type === 'f32' && this.isOffloaded(a) && this.isOffloaded(b);
    }
    const [m] = this.#plain;
    return m.has(a) && m.has(b) && m.areTogether(a, b);
  }

  /** The moments of a stretch of groups. */
  span(groups: readonly string[]): MomentsOf<Tensor> {
    const [m, v] = this.#plain;
    const [codes, maxima] = this.#coded;
    if (m.has(groups[0]!)) return { m: m.span(groups), v: v.span(groups) };
    return { codes: codes.tensor(groups[0]!), maxima: maxima.tensor(groups[0]!) };
  }

  destroy(): void {
    for (const arena of [...this.#plain, ...this.#coded]) arena.destroy();
    this.#host?.destroy();
  }
}

/** Returns the moments of a parameter, by Hugging Face name. @throws UserError when it is frozen. */
export async function readMoments(model: Model, all: MomentTensors, name: string): Promise<Moments> {
  const { group, first, count } = model.place(name);
  if (!all.has(group)) throw new UserError(`'${name}' is frozen, and has no moments`);
  const { decay } = model.groups.find(({ name }) => name === group)!;
  if (all.host?.has(group) && !isCoded({ decay }, all.type)) return all.host.read(group, first, count);
  const moments = all.of(group);
  if (moments && 'm' in moments) {
    const read = (moment: 'm' | 'v') => model.readPart(name, () => moments[moment]);
    return { m: await read('m'), v: await read('v') };
  }
  const { m, v } = decodeMoments(await readCoded(model, all, group), sizeOf(model.weight(group).shape));
  return { m: m.slice(first, first + count), v: v.slice(first, first + count) };
}

/** Returns the moments of a group as they are kept in 8 bits. */
export async function readCoded({ device }: Model, all: MomentTensors, group: string): Promise<CodedMoments> {
  const moments = all.of(group);
  if (!moments) return all.host!.readCoded(group);
  if (!('codes' in moments)) throw new Error(`the moments of '${group}' are not in 8 bits`);
  const { codes, maxima } = moments;
  const read = ({ buffer, offsetBytes = 0, ...tensor }: Tensor) =>
    device.readInPieces({ buffer: buffer!, offsetBytes, sizeBytes: bytesOf(tensor) });
  return { codes: new Uint8Array(await read(codes)), maxima: new Float32Array(await read(maxima)) };
}

/** Where moments come from: those of a parameter in f32, or those of a group in 8 bits, where they were kept so. */
export interface MomentSource {
  momentsOf(name: string): Moments;
  codedOf?(group: string): CodedMoments | undefined;
}

/** Writes the moments of all parameters that are trained, each as it is kept. */
export function writeMoments(model: Model, all: MomentTensors, { momentsOf, codedOf }: MomentSource): void {
  for (const { name: group, parts, shape, decay } of model.groups.filter(({ name }) => all.has(name))) {
    const moments = all.of(group);
    const coded = codedOf?.(group);
    const given = (name: string): Moments => {
      if (!coded) return momentsOf(name);
      const { first, count } = model.place(name);
      const { m, v } = decodeMoments(coded, sizeOf(shape));
      return { m: m.subarray(first, first + count), v: v.subarray(first, first + count) };
    };
    if (!isCoded({ decay }, all.type)) {
      for (const { name } of parts) {
        const { m, v } = given(name);
        if (!moments) all.host!.write(group, model.place(name).first, { m, v });
        else if ('m' in moments) {
          model.writePart(name, () => moments.m, m);
          model.writePart(name, () => moments.v, v);
        }
      }
    } else {
      const { codes, maxima } =
        coded ??
        encodeMoments(
          joined(
            parts.map(({ name }) => momentsOf(name)),
            sizeOf(shape),
          ),
        );
      if (!moments) all.host!.writeCoded(group, { codes, maxima });
      else if ('codes' in moments) {
        model.device.write(moments.codes.buffer!, codes, moments.codes.offsetBytes);
        model.device.write(moments.maxima.buffer!, maxima, moments.maxima.offsetBytes);
      }
    }
  }
}

/** Returns the moments of parameters that stand one after the other, `count` elements in all. */
function joined(parts: readonly Moments[], count: number): Moments {
  const all: Moments = { m: new Float32Array(count), v: new Float32Array(count) };
  let first = 0;
  for (const { m, v } of parts) {
    all.m.set(m, first);
    all.v.set(v, first);
    first += m.length;
  }
  return all;
}
