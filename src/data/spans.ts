/** Spans of a document that are trained; the rest of it is read alone. */

/** The characters from `start` up to `end`, which is not among them; they are code points, as Python counts. */
export type TextSpan = readonly [start: number, end: number];

/** Returns the number of characters of a text. */
export function charactersOf(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** Returns the spans that a field holds, or in words why it holds none. */
export function spansOf(value: unknown, characters: number): readonly TextSpan[] | string {
  const isPlace = (place: unknown): place is number => Number.isSafeInteger(place) && (place as number) >= 0;
  if (!Array.isArray(value)) return 'it must be a list of [start, end]';
  for (const [i, span] of value.entries()) {
    const isSpan = Array.isArray(span) && span.length === 2 && span.every(isPlace) && span[0] <= span[1];
    if (!isSpan) return `span ${i + 1} is ${JSON.stringify(span)?.slice(0, 40)}, and not [start, end]`;
    if (span[1] > characters) return `span ${i + 1} ends at ${span[1]}, and the text has ${characters} characters`;
  }
  return value as TextSpan[];
}

/** Whether a span has one of the characters from `start` to `end`, or the one at `start` where these are none. */
export const touches = (spans: readonly TextSpan[], start: number, end: number): boolean =>
  spans.some(([from, to]) => from < Math.max(end, start + 1) && to > start);
