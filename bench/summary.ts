/** What the samples come to: rates, shares of the ceilings, and the bars that were set. Pure functions. */
import { median } from '../src/median.js';
import { type Samples, spreadOf } from './measure.js';
import type { Bar, StepResult, WorkSummary } from './result.js';
import type { Rate } from './work.js';

export interface Ceilings {
  /** GFLOP/s of the multiply-add loop. */
  readonly flops: number;
  /** GB/s of the copy. */
  readonly bytes: number;
}

const UNITS = { flops: 'GFLOP/s', bytes: 'GB/s' } as const;

/** In GFLOP/s or GB/s, at the median of these milliseconds. */
export const rateAt = (work: { flops: number; bytes: number; rate: Rate }, milliseconds: readonly number[]): number =>
  work[work.rate] / median(milliseconds) / 1e6;

export function ceilingsOf(samples: readonly Samples[]): Ceilings | undefined {
  const of = (rate: Rate) => samples.find(sample => sample.kind === 'ceiling' && sample.rate === rate);
  const [flops, bytes] = [of('flops'), of('bytes')];
  return flops && bytes && { flops: rateAt(flops, flops.wall), bytes: rateAt(bytes, bytes.wall) };
}

export function summarise(samples: readonly Samples[]): WorkSummary[] {
  const ceilings = ceilingsOf(samples);
  return samples.map(sample => {
    const { name, kind, rate, wall, gpu } = sample;
    const { median: milliseconds, iqr } = spreadOf(wall);
    const value = rateAt(sample, wall);
    return {
      name,
      unit: UNITS[rate],
      rate: value,
      ...(ceilings && kind !== 'ceiling' && { share: value / ceilings[rate] }),
      milliseconds,
      ...(gpu.length > 0 && { gpuMilliseconds: median(gpu) }),
      iqr,
      samples: wall.length,
    };
  });
}

export const atLeast = (what: string, bar: number, value: number | undefined, missing = 'not measured'): Bar => ({
  what,
  bar: `at least ${bar}`,
  measured: value === undefined ? missing : value.toFixed(2),
  reached: value === undefined ? undefined : value >= bar,
});

export const atMost = (what: string, bar: number, value: number | undefined): Bar => ({
  what,
  bar: `at most ${bar}`,
  measured: value === undefined ? 'not measured' : String(Number(value.toPrecision(4))),
  reached: value === undefined ? undefined : value <= bar,
});

/** AdamW moves memory and does little else. */
export function adamwBar(samples: readonly Samples[]): Bar[] {
  const index = samples.findIndex(({ kind }) => kind === 'adamw');
  if (index < 0) return [];
  const { name, share } = summarise(samples)[index]!;
  return [atLeast(`${name}: share of the copy ceiling`, 0.5, share)];
}

/** A whole step against the best product of the same run, and what of a step is not the device's. */
export function stepBars(samples: readonly Samples[], steps: readonly StepResult[]): Bar[] {
  const products = samples.filter(({ kind }) => kind === 'matmul').map(sample => rateAt(sample, sample.wall));
  return steps
    .filter(({ kind }) => kind === 'step')
    .flatMap(({ name, hostShare }) => {
      const sample = samples.find(other => other.name === name)!;
      const share = rateAt(sample, sample.wall) / Math.max(...products);
      return [
        ...(products.length > 0 ? [atLeast(`${name}: FLOP/s over those of the best product`, 0.5, share)] : []),
        ...(hostShare === undefined ? [] : [atMost(`${name}: share that is the host's`, 0.1, hostShare)]),
      ];
    });
}

/** How a FLOP's cost changes as steps grow, and whether activations grow with the context and no faster. */
export function scalingBars(samples: readonly Samples[], steps: readonly StepResult[]): Bar[] {
  const costs = (kind: string) =>
    samples.filter(sample => sample.kind === kind).map(({ flops, wall }) => median(wall) / flops);
  const ratio = (values: readonly number[]) => Math.max(...values) / Math.min(...values);
  const bars: Bar[] = [];
  const widths = costs('scaling width');
  if (widths.length > 1)
    bars.push(atMost('time per FLOP, hidden 64 to 512: dearest over cheapest', 1.5, ratio(widths)));
  const contexts = costs('scaling context');
  if (contexts.length > 1) {
    bars.push(atMost('time per FLOP, context 128 to 2048: dearest over cheapest', 1.5, ratio(contexts)));
    const perToken = steps
      .filter(({ kind }) => kind === 'scaling context')
      .map(({ activationBytes, tokens }) => activationBytes / tokens);
    bars.push(atMost('activation bytes per token, context 128 to 2048: most over least', 1.1, ratio(perToken)));
  }
  return bars;
}
