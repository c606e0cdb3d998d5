/**
 * Runs a problem's variants on a device that checks nothing, in memory that shows what they should not have done:
 * operands lie between guard words, outputs and workgroup memory are filled with a NaN of a known pattern before each
 * run.
 */
import { bfloatsOf } from '../bfloat.js';
import type { BufferUsage, DeviceBuffer } from '../gpu/buffer.js';
import type { Device } from '../gpu/device.js';
import type { Command } from '../gpu/program.js';
import { halvesOf } from '../half.js';
import { bindCall, type KernelCall, type Operand, packParams } from '../kernels/call.js';
import { BYTES, type ElementType, floatsOf } from '../kernels/element-type.js';
import { fillWorkgroup } from '../kernels/fill-workgroup.js';
import type { Vector } from '../numerics/reference.js';
import type { Given, Input, Problem } from './case.js';

/** Bytes before and after every operand: more than a row of any case, and what every adapter binds at. */
const GUARD = 4096;
/** A NaN that no arithmetic makes, in f32 and in each half of it. */
const PATTERN = 0x7fa5_7da5;
/** More workgroups than run at once on most adapters. */
const WORKGROUPS_FILLED = 256;

/** Rewrites a call before it is compiled: how the tests break kernels. */
export type Alter = (call: KernelCall, device: Device) => KernelCall;

export interface BenchOptions {
  /** Runs of each variant, from the same memory. */
  readonly repeats: number;
  /**
   * Whether workgroup memory is filled before each run; by default it is. It shows what a kernel reads and has not
   * written, and costs a software adapter more than most cases do.
   */
  readonly fillWorkgroups?: boolean;
  readonly alter?: Alter | undefined;
}

/** What a variant left. */
export interface Outcome {
  /** The values that the first run left, by output. */
  readonly values: Readonly<Record<string, Float32Array>>;
  /** Words or halves around outputs, and elements that are not a kernel's to write, that changed. */
  readonly strayWrites: number;
  /** Elements that still held the pattern. */
  readonly unwritten: number;
  /** Elements that were not the same bits in every run. */
  readonly unequal: number;
}

/** An operand's place: its own buffer, with guards. */
interface Place {
  readonly name: string;
  readonly type: ElementType;
  readonly count: number;
  readonly buffer: DeviceBuffer;
  /** What the buffer holds before a run. */
  readonly image: Uint32Array<ArrayBuffer>;
}

export class Bench {
  readonly device: Device;
  readonly #options: BenchOptions;
  readonly #owned: DeviceBuffer[] = [];
  #fill: Command[] = [];

  constructor(device: Device, options: BenchOptions) {
    this.device = device;
    this.#options = options;
  }

  /** Runs every variant on the problem's values, or on `given` in their place. */
  async run(problem: Problem, given: Given = {}): Promise<ReadonlyMap<string, Outcome>> {
    const { device } = this;
    const { repeats, alter = call => call } = this.#options;
    const owned: DeviceBuffer[] = [];
    const make = (label: string, sizeBytes: number, usage?: BufferUsage) => {
      const buffer = device.createBuffer(label, sizeBytes, usage);
      owned.push(buffer);
      return buffer;
    };
    try {
      const places = place(problem, given, (name, image) => {
        const buffer = make(name, image.byteLength);
        device.write(buffer, image);
        return buffer;
      });
      const operands: Record<string, Operand> = {};
      for (const [name, { type, count, buffer }] of places) {
        operands[name] = { buffer, offsetBytes: GUARD, sizeBytes: bytesOf(type, count), type };
      }
      const outputs = Object.keys(problem.outputs).map(name => places.get(name)!);
      const total = outputs.reduce((sum, { image }) => sum + image.byteLength, 0);
      const pristine = outputs.map(({ buffer, image }) => {
        const copied = make(`${buffer.label} before`, image.byteLength);
        device.write(copied, image);
        return copied;
      });
      const programs = await Promise.all(
        problem.variants.map(({ table }) =>
          compile(
            device,
            problem.calls(table, operands).map(call => withGuards(alter(call, device))),
            size => make('parameters', size, 'uniform'),
          ),
        ),
      );
      const results = make('results', programs.length * repeats * total);
      const dirty = await this.#dirty();
      const commands: Command[] = [];
      let offset = 0;
      for (const program of programs) {
        for (let run = 0; run < repeats; run++) {
          outputs.forEach(({ buffer }, i) => {
            commands.push(copy(pristine[i]!, buffer));
          });
          commands.push(...dirty, ...program);
          for (const { buffer, image } of outputs) {
            commands.push(copy(buffer, results, offset));
            offset += image.byteLength;
          }
        }
      }
      device.submit(commands);
      const bytes = await device.read(results, 0, offset);
      const runs = problem.variants.map(({ name }, i) => {
        const own = bytes.slice(i * repeats * total, (i + 1) * repeats * total);
        return [name, judge(problem, outputs, own, repeats)] as const;
      });
      return new Map(runs);
    } finally {
      for (const buffer of owned) buffer.destroy();
    }
  }

  /** What fills the workgroup memory of as many workgroups as run at once; nothing where that is not wanted. */
  async #dirty(): Promise<Command[]> {
    if (this.#options.fillWorkgroups === false || this.#fill.length > 0) return this.#fill;
    const [sink, parameters] = [
      this.device.createBuffer('sink', 16),
      this.device.createBuffer('parameters', 16, 'uniform'),
    ];
    this.#owned.push(sink, parameters);
    const operand: Operand = { buffer: sink, offsetBytes: 0, sizeBytes: 16, type: 'u32' };
    const call = fillWorkgroup(this.device.adapter, PATTERN, WORKGROUPS_FILLED, { sink: operand });
    this.#fill = await compile(this.device, [call], () => parameters);
    return this.#fill;
  }

  destroy(): void {
    for (const buffer of this.#owned) buffer.destroy();
  }
}

const bytesOf = (type: ElementType, count: number): number => Math.max(16, 4 * Math.ceil((count * BYTES[type]) / 4));

function place(
  { inputs, outputs }: Problem,
  given: Given,
  make: (name: string, image: Uint32Array<ArrayBuffer>) => DeviceBuffer,
): Map<string, Place> {
  const places = new Map<string, Place>();
  const add = (name: string, { type, count }: Pick<Input, 'type' | 'count'>, initial: Input | undefined) => {
    const image = guarded(type, count, given[name] ?? initial?.values);
    places.set(name, { name, type, count, image, buffer: make(name, image) });
  };
  for (const [name, input] of Object.entries(inputs)) add(name, input, input);
  for (const [name, output] of Object.entries(outputs)) add(name, output, output.initial);
  return places;
}

/** Binds the guard behind an operand too: some drivers drop what is written beyond a binding. */
function withGuards(call: KernelCall): KernelCall {
  const buffers = Object.entries(call.buffers).map(([name, range]) => {
    const sizeBytes = Math.min(range.sizeBytes + GUARD, range.buffer.sizeBytes - range.offsetBytes);
    return [name, { ...range, sizeBytes }] as const;
  });
  return { ...call, buffers: Object.fromEntries(buffers) };
}

function copy(from: DeviceBuffer, to: DeviceBuffer, offsetBytes = 0): Command {
  const sizeBytes = Math.min(from.sizeBytes, to.sizeBytes);
  return {
    kind: 'copy',
    from: { buffer: from, offsetBytes: 0, sizeBytes },
    to: { buffer: to, offsetBytes, sizeBytes },
  };
}

/** Compiles and binds calls; their parameters are put into one buffer. */
export async function compile(
  device: Device,
  calls: readonly KernelCall[],
  makeParameters: (sizeBytes: number) => DeviceBuffer,
): Promise<Command[]> {
  const buffer = makeParameters(256 * calls.length);
  return Promise.all(
    calls.map((call, i): Promise<Command> => {
      const packed = packParams(call);
      device.write(buffer, packed, 256 * i);
      return bindCall(device, call, { buffer, offsetBytes: 256 * i, sizeBytes: packed.byteLength });
    }),
  );
}

/** A buffer's words: the values, or the pattern, between guards. */
function guarded(type: ElementType, count: number, values: Vector | undefined): Uint32Array<ArrayBuffer> {
  const image = new Uint32Array((2 * GUARD + bytesOf(type, count)) / 4).fill(PATTERN);
  if (!values) return image;
  if (type === 'f32') new Float32Array(image.buffer).set(values, GUARD / 4);
  else if (type === 'u32') image.set(values, GUARD / 4);
  else if (type === 'u8') new Uint8Array(image.buffer).set(values, GUARD);
  else new Uint16Array(image.buffer).set(type === 'f16' ? halvesOf(values) : bfloatsOf(values), GUARD / 2);
  return image;
}

function judge({ outputs }: Problem, places: readonly Place[], bytes: ArrayBuffer, repeats: number): Outcome {
  const values: Record<string, Float32Array> = {};
  let [strayWrites, unwritten, unequal] = [0, 0, 0];
  let offset = 0;
  const total = bytes.byteLength / repeats;
  for (const { name, type, count, image } of places) {
    const { initial, isWritten = () => true } = outputs[name]!;
    const Units = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array }[BYTES[type]]!;
    const units = image.byteLength / Units.BYTES_PER_ELEMENT;
    const before = new Units(image.buffer);
    const runs = Array.from({ length: repeats }, (_, r) => new Units(bytes, r * total + offset, units));
    const first = GUARD / Units.BYTES_PER_ELEMENT;
    for (let i = 0; i < units; i++) {
      const isOwn = i >= first && i < first + count && isWritten(i - first);
      for (const [r, run] of runs.entries()) {
        if (!isOwn) strayWrites += run[i] === before[i] ? 0 : 1;
        else if (r > 0 && run[i] !== runs[0]![i]) unequal++;
      }
      if (isOwn && !initial && runs[0]![i] === before[i]) unwritten++;
    }
    const own = bytes.slice(offset + GUARD, offset + GUARD + count * BYTES[type]);
    values[name] = floatsOf(own, type);
    offset += image.byteLength;
  }
  return { values, strayWrites, unwritten, unequal };
}
