/**
 * A case of a kernel: its operands by name, what float64 makes of them, how far off they may be, and the launcher's
 * calls.
 * Audit, tests, tuner and benchmark take it from here. It needs no device, and makes no value before it is asked for
 * one.
 */
import type { KernelCall, Operand } from '../kernels/call.js';
import type { ElementType } from '../kernels/element-type.js';
import type { VariantTable } from '../kernels/variants.js';
import { columnSumBound } from '../numerics/bounds.js';
import { type Format, type InputClass, type InputOptions, inputValues } from '../numerics/inputs.js';
import type { Vector } from '../numerics/reference.js';

export class Input<Type extends ElementType = ElementType> {
  readonly type: Type;
  readonly count: number;
  /** Whether the host computes and sends it along, such as a table or a step's number: it is no result of a kernel. */
  readonly isSent: boolean;
  readonly #make: () => Vector;
  #values: Vector | undefined;

  constructor(type: Type, count: number, make: () => Vector, isSent = false) {
    this.type = type;
    this.count = count;
    this.isSent = isSent;
    this.#make = make;
  }

  get values(): Vector {
    this.#values ??= this.#make();
    return this.#values;
  }
}

/** Values of a class, the same for the same label. */
export const drawn = <Type extends Format = 'f32'>(
  kind: InputClass,
  label: string,
  count: number,
  options: InputOptions & { readonly type?: Type } = {},
): Input<Type> => new Input(options.type ?? ('f32' as Type), count, () => inputValues(kind, label, count, options));

export const sent = (values: ArrayLike<number>): Input<'f32'> =>
  new Input('f32', values.length, () => Float64Array.from(values), true);
export const words = (count: number, make: () => ArrayLike<number>): Input<'u32'> =>
  new Input('u32', count, () => Float64Array.from(make()), true);

/** What a kernel writes: numbers, or codes of numbers in their order, of which neighbours differ by 1. */
export type OutputType = Format | 'u8';

export interface Output {
  readonly type: OutputType;
  readonly count: number;
  /** What it holds before, where the kernel reads it. */
  readonly initial?: Input | undefined;
  /** Whether the kernel writes an element; by default it writes all. The others must be left alone. */
  readonly isWritten?: ((index: number) => boolean) | undefined;
}

/** An output that holds values before, to which the kernel adds or which it replaces. */
export const updated = (initial: Input<OutputType>): Output => ({ type: initial.type, count: initial.count, initial });

/** An output's exact values and the largest error of each. */
export interface Expected {
  readonly reference: Vector;
  readonly bound: Vector;
}

/** Values by the name of an input, or of an output that has initial values. */
export type Given = Readonly<Record<string, Vector>>;

export interface Case {
  /** A kernel file's name, or the part that its variants share. */
  readonly kernel: string;
  /** Sizes and types, for people. */
  readonly shape: string;
  readonly inputClass: InputClass;
  readonly inputs: Readonly<Record<string, Input>>;
  readonly outputs: Readonly<Record<string, Output>>;
  /** The operations by the usual count: what two passes of an op both do counts once. */
  readonly flops?: number;
  /** The bytes of inputs read and outputs written, each once for an op. */
  readonly bytes?: number;
  expected(given: Given): Readonly<Record<string, Expected>>;
  calls(variants: VariantTable, operands: Readonly<Record<string, Operand>>): KernelCall[];
  /** Whether the kernel said that something was not finite, where it says so by more than a result that is not. */
  reports?(values: Readonly<Record<string, ArrayLike<number>>>): boolean;
}

type Each<T, Value> = { readonly [Name in keyof T]: Value };

interface NamedCase<I, O> extends Omit<Case, 'inputs' | 'outputs' | 'expected' | 'calls'> {
  readonly inputs: I;
  readonly outputs: O;
  expected(given: Each<I & O, Vector>): Readonly<Record<string, Expected>>;
  calls(variants: VariantTable, operands: Each<I & O, Operand>): KernelCall[];
}

/** A case whose values and operands are known by its own names. */
export const kernelCase = <I extends Case['inputs'], O extends Case['outputs']>(named: NamedCase<I, O>): Case =>
  named as unknown as Case;

/** How a case is run: a table that holds a variant of its kernel. */
export interface Variant {
  readonly name: string;
  readonly table: VariantTable;
}

/** A case with the variants that are to run it. */
export interface Problem extends Case {
  /** Terms of the longest sum, where the shape is one of a series. */
  readonly terms?: number | undefined;
  readonly variants: readonly Variant[];
}

/** The values that a case has by itself, but for those that are given instead. */
export function givenOf({ inputs, outputs }: Pick<Case, 'inputs' | 'outputs'>, instead: Given = {}): Given {
  const values: Record<string, Vector> = { ...instead };
  for (const [name, input] of Object.entries(inputs)) values[name] ??= input.values;
  for (const [name, { initial }] of Object.entries(outputs)) if (initial) values[name] ??= initial.values;
  return values;
}

/** What an output that held `total` has after sums were added that are each off by `bound` at most. */
export function addedTo(total: Vector, sums: Vector, bound: Vector): Expected {
  const reference = sums.map((value, i) => value + total[i]!);
  const magnitudes = reference.map((value, i) => Math.abs(value) + Math.abs(total[i]!));
  const rounding = columnSumBound(magnitudes, 1);
  return { reference, bound: bound.map((value, i) => value + rounding[i]!) };
}
