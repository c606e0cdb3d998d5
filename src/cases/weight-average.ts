/** The running average of weights, and its exchange with them. */
import { swap, weightAverage } from '../kernels/weight-average.js';
import { flushedValues, TINY, U } from '../numerics/bounds.js';
import { FORMATS, type InputClass } from '../numerics/inputs.js';
import { type Case, drawn, kernelCase, sent, updated } from './case.js';

export interface WeightAverageCase {
  readonly count: number;
  readonly inputClass?: InputClass;
  /** 1 − β */
  readonly complement?: number;
  /** Whether the step made no update, so that the average stays. */
  readonly isSkipped?: boolean;
}

/** Differences of weights must not overflow. */
const MOST = FORMATS.f32.largest / 2;

export function weightAverageCase(given: WeightAverageCase): Case {
  const { count, inputClass = 'uniform', complement = 0.001, isSkipped = false } = given;
  const rate = Math.fround(isSkipped ? 0 : complement);
  const label = `${count} ${inputClass}`;
  return kernelCase({
    kernel: 'weight_average',
    shape: `${count}, 1-β ${complement}${isSkipped ? ', skipped' : ''}`,
    inputClass,
    inputs: {
      rate: sent([complement]),
      // norm, clip factor, no bad step, loss, loss scale, whether skipped (any bits but 0), corrections
      health: sent([2, 1, 0, 0, 1, isSkipped ? 1 : 0, 1, 1]),
      weight: drawn(inputClass, `weight ${label}`, count, { most: MOST }),
    },
    outputs: { average: updated(drawn(inputClass, `average ${label}`, count, { most: MOST })) },
    flops: 3 * count,
    bytes: 3 * 4 * count,
    expected({ weight, average }) {
      const moves = weight.map((value, i) => rate * (value - average[i]!));
      const reference = average.map((value, i) => value + moves[i]!);
      if (isSkipped) return { average: { reference: average, bound: average.map(() => 0) } };
      // difference and product are each off by u, which is (2u + u²) of the move, and the sum by u
      const [lostOfWeight, lostOfAverage] = [flushedValues(weight, 'f32'), flushedValues(average, 'f32')];
      const bound = reference.map((value, i) => {
        const ofMove = (2 * U + U * U) * Math.abs(moves[i]!) + TINY;
        return ofMove + U * (Math.abs(value) + ofMove) + lostOfWeight[i]! + lostOfAverage[i]! + TINY;
      });
      return { average: { reference, bound } };
    },
    calls: (variants, operands) => weightAverage(variants, count, operands),
  });
}

export function swapCase({ count, inputClass = 'uniform' }: Pick<WeightAverageCase, 'count' | 'inputClass'>): Case {
  const values = (name: string) => drawn(inputClass, `${name} ${count} ${inputClass}`, count);
  return kernelCase({
    kernel: 'weight_average_swap',
    shape: `${count}`,
    inputClass,
    inputs: {},
    outputs: { a: updated(values('a')), b: updated(values('b')) },
    bytes: 4 * 4 * count,
    expected: ({ a, b }) => ({
      a: { reference: b, bound: flushedValues(b, 'f32') },
      b: { reference: a, bound: flushedValues(a, 'f32') },
    }),
    calls: (variants, operands) => swap(variants, count, operands),
  });
}
