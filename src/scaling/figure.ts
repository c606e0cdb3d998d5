/** Returns a number with three digits, for a sentence: 1234567 → '1.23e6'. */
export const figure = (value: number): string =>
  Math.abs(value) >= 1e5 ? value.toExponential(2).replace('e+', 'e') : String(Number(value.toPrecision(3)));
