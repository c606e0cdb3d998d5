/** Numbers as people read them, for the terminal and for the page. */

/** Returns a short number: 1234567 → '1.23M'. */
export function short(value: number): string {
  const units: readonly [number, string][] = [
    [1e18, 'E'],
    [1e15, 'P'],
    [1e12, 'T'],
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ];
  const rounded = Number(value.toPrecision(3)); // first, since 999,600 is 1M
  const unit = units.find(([size]) => Math.abs(rounded) >= size);
  return unit ? `${Number((rounded / unit[0]).toPrecision(3))}${unit[1]}` : String(rounded);
}

/** Returns three digits that count, or the whole number. */
export const figures = (value: number): string => (Math.abs(value) >= 1000 ? value.toFixed(0) : value.toPrecision(3));

/** Returns held-out losses by language, in nats per token. */
export const showLosses = (heldOut: Readonly<Record<string, { readonly loss: number }>>): string =>
  Object.entries(heldOut)
    .map(([language, { loss }]) => `${language} ${loss.toFixed(4)}`)
    .join(', ');

export const percent = (share: number): string => `${(100 * share).toFixed(0)}%`;

/** Returns a change with its sign. */
export const signed = (value: number, digits = 4): string =>
  `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(digits)}`;
