/** Numbers from the command line. */
import { InvalidArgumentError } from 'commander';

/** A whole number of at least `minimum`; 1e6 and 1_000_000 are understood. */
export function wholeNumber(minimum = 0): (text: string) => number {
  return text => {
    const value = Number(text.replaceAll('_', ''));
    if (text.trim() === '' || !Number.isSafeInteger(value) || value < minimum) {
      throw new InvalidArgumentError(`It must be a whole number of at least ${minimum}.`);
    }
    return value;
  };
}

/** 1234567 → '1.23M'. */
export function compact(value: number): string {
  for (const [size, unit] of [
    [1e18, 'E'],
    [1e15, 'P'],
    [1e12, 'T'],
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    if (Math.abs(value) >= size) return `${Number((value / size).toPrecision(3))}${unit}`;
  }
  return String(Number(value.toPrecision(3)));
}
