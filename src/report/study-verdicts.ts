/** A claim held against a study: its verdict, from numbers with intervals, and the words for them. */
import { percent } from './numbers.js';
import type { Estimate } from './study-evidence.js';

export type Verdict = 'reproduced' | 'in part' | 'not reproduced' | 'open';

export interface Finding {
  /** The section of the page that has its figures, and the beginning of the name of the figure that shows it best. */
  readonly section: string;
  readonly figure?: string;
  readonly claim: string;
  readonly verdict: Verdict;
  /** Sentences with numbers, or why there are none. */
  readonly says: readonly string[];
}

/** What one language says: whether each part of the claim holds, with certainty. */
export interface Answer {
  readonly says: string;
  readonly holds: readonly ('yes' | 'no' | 'open')[];
}

export function conclude(
  finding: Omit<Finding, 'verdict' | 'says'>,
  answers: readonly Answer[],
  missing: string,
): Finding {
  const parts = answers.flatMap(({ holds }) => holds);
  const all = (part: 'yes' | 'no' | 'open') => parts.length > 0 && parts.every(each => each === part);
  const verdict = all('yes')
    ? 'reproduced'
    : all('no')
      ? 'not reproduced'
      : parts.length === 0 || all('open')
        ? 'open'
        : 'in part';
  return { ...finding, verdict, says: answers.length > 0 ? answers.map(({ says }) => says) : [missing] };
}

/** Whether a number is above 0 (or below it, with `sign` −1): for certain where the whole interval is. */
export function isAbove(found: Estimate | undefined, sign: 1 | -1 = 1): 'yes' | 'no' | 'open' {
  if (!found?.interval) return 'open';
  const [low, high] = found.interval.map(end => sign * end).sort((a, b) => a - b) as [number, number];
  return low > 0 ? 'yes' : high < 0 ? 'no' : 'open';
}

/** Returns a number with its interval. */
export function show({ value, interval: found, count }: Estimate, format: (value: number) => string): string {
  if (!found) return `${format(value)} (${count === 1 ? 'one run' : `${count} runs`}, no interval)`;
  return `${format(value)} (${format(found[0])} to ${format(found[1])})`;
}

export const share = (value: number): string => percent(value).replace('-', '−');
export const fixed = (digits: number) => (value: number) => `${value < 0 ? '−' : ''}${Math.abs(value).toFixed(digits)}`;
