/** Cross-entropy with its gradient, and with hits. */
import { crossEntropy, IGNORED_TARGET } from '../kernels/cross-entropy.js';
import type { RowSizes } from '../kernels/row-variant.js';
import { crossEntropyBounds, storedBound } from '../numerics/bounds.js';
import { FORMATS, type InputClass, inputValues, type StoredType } from '../numerics/inputs.js';
import * as reference from '../numerics/reference.js';
import { softCap as capped, softCapSlope, softCapSlopeError } from '../numerics/soft-cap.js';
import { showSoftCap } from './attention.js';
import { type Case, Input, kernelCase, sent, updated, words } from './case.js';

const LOSS_SCALE = 1024;
/** A logit that exceeds the others by 100 at least. */
const PEAK = 109;

export interface CrossEntropyCase extends RowSizes {
  /**
   * The type of the gradient. In f32 it takes the place of the logits; in f16 it is written apart, times a loss scale.
   */
  readonly type: StoredType;
  readonly inputClass?: InputClass;
  /** The column of the largest logit of each row. */
  readonly peak?: number;
  /** Whether rows have weights, of which every third is 0. */
  readonly weighted?: boolean;
  /** What the logits are capped at already: default nothing. */
  readonly softCap?: number;
  /** The factor of the losses' sum whose gradient it is; by default that of their mean. */
  readonly scale?: number;
}

/** Every fifth row has no target. */
export function crossEntropyCase(given: CrossEntropyCase): Case {
  const { rows: R, columns: V, type, inputClass = 'uniform', peak, weighted = false, softCap } = given;
  const { scale: exactScale = 1 / given.rows } = given;
  const label = `${R} ${V} ${inputClass}`;
  const logits = new Input('f32', R * V, () => {
    const values = inputValues(inputClass, `logits ${label}`, R * V, {
      low: -9,
      high: 9,
      most: FORMATS.f32.largest / 4,
    });
    if (softCap !== undefined) return values.map(value => Math.fround(capped(value, softCap)));
    if (peak !== undefined) for (let r = 0; r < R; r++) values[r * V + peak] = PEAK;
    return values;
  });
  const targets = words(R, () => {
    const drawn = inputValues('uniform', `targets ${label}`, R, { low: 0, high: V });
    return drawn.map((id, r) => (r % 5 === 4 ? IGNORED_TARGET : Math.min(Math.floor(id), V - 1)));
  });
  const weights = new Input('f32', R, () =>
    inputValues('uniform', `weights ${label}`, R, { low: 0, high: 3 }).map((weight, r) => (r % 3 === 1 ? 0 : weight)),
  );
  const isHalf = type === 'f16';
  const scale = Math.fround(exactScale);
  const factor = isHalf ? scale * LOSS_SCALE : scale;
  return kernelCase({
    kernel: 'cross_entropy',
    shape:
      `gradient in ${type}, ${R} x ${V}${peak === undefined ? '' : `, largest at ${peak}`}` +
      `${weighted ? ', with weights' : ''}${showSoftCap(softCap)}`,
    inputClass,
    inputs: { targets, ...(weighted && { weights }), ...(isHalf && { logits, lossScale: sent([LOSS_SCALE]) }) },
    outputs: {
      losses: { type: 'f32', count: R },
      ...(isHalf && { dlogits: { type, count: R * V } }),
      ...(!isHalf && { logits: updated(logits) }),
    },
    flops: 6 * R * V,
    bytes: 2 * 4 * R * V,
    expected({ targets, logits, weights }) {
      const used = targets.map(id => (id === IGNORED_TARGET ? 0 : id));
      const exact = reference.crossEntropy(logits!, used, V, factor, weights);
      const bounds = crossEntropyBounds(logits!, used, V, factor, weights);
      const isIgnored = (row: number) => targets[row] === IGNORED_TARGET || weights?.[row] === 0;
      const byRow = (values: reference.Vector) => values.map((value, r) => (isIgnored(r) ? 0 : value));
      const byElement = (values: reference.Vector) =>
        values.map((value, i) => (isIgnored(Math.floor(i / V)) ? 0 : value));
      const slopes = logits!.map(logit => (softCap === undefined ? 1 : softCapSlope(logit, softCap)));
      const slopeErrors = logits!.map(logit => (softCap === undefined ? 0 : softCapSlopeError(logit, softCap, 0)));
      const gradient = byElement(exact.dlogits).map((value, i) => value * slopes[i]!);
      const bound = bounds.dlogits.map(
        (value, i) => value * (slopes[i]! + slopeErrors[i]!) + Math.abs(exact.dlogits[i]!) * slopeErrors[i]!,
      );
      return {
        losses: { reference: byRow(exact.losses), bound: byRow(bounds.losses) },
        [isHalf ? 'dlogits' : 'logits']: {
          reference: gradient,
          bound: byElement(storedBound(bound, gradient, type)),
        },
      };
    },
    calls: (variants, { targets, logits, losses, weights, dlogits, lossScale }) =>
      crossEntropy(
        variants,
        { rows: R, columns: V },
        { scale, dlogits, lossScale, softCap },
        { targets, logits: logits!, losses, weights },
      ),
  });
}

/**
 * Losses and hits without a gradient. Of five rows the first has the largest logit at its target, the second has
 * another one that is as large, and the last has no target.
 */
export function hitsCase({ rows: R, columns: V, inputClass = 'uniform' }: Omit<CrossEntropyCase, 'type'>): Case {
  const label = `hits ${R} ${V} ${inputClass}`;
  const targets = words(R, () => {
    const drawn = inputValues('uniform', `targets ${label}`, R, { low: 0, high: V });
    return drawn.map((id, r) => (r % 5 === 4 ? IGNORED_TARGET : Math.min(Math.floor(id), V - 1)));
  });
  const logits = new Input('f32', R * V, () => {
    const values = inputValues(inputClass, `logits ${label}`, R * V, { most: FORMATS.f32.largest / 4 });
    targets.values.forEach((target, r) => {
      if (r % 5 > 1) return;
      const row = values.subarray(r * V, (r + 1) * V);
      const largest = row.reduce((a, b) => Math.max(a, b), -Infinity);
      row[target] = r % 5 === 0 ? Math.fround(largest + Math.abs(largest) + 1) : largest;
    });
    return values;
  });
  return kernelCase({
    kernel: 'cross_entropy',
    shape: `losses and hits, ${R} x ${V}`,
    inputClass,
    inputs: { targets },
    outputs: { losses: { type: 'f32', count: R }, hits: { type: 'f32', count: R }, logits: updated(logits) },
    flops: 4 * R * V,
    bytes: 4 * R * V,
    expected({ targets, logits }) {
      const isIgnored = (row: number) => targets[row] === IGNORED_TARGET;
      const used = targets.map(id => (id === IGNORED_TARGET ? 0 : id));
      const { losses } = reference.crossEntropy(logits, used, V, 1);
      const bounds = crossEntropyBounds(logits, used, V, 1).losses;
      const counted = (values: reference.Vector) => values.map((value, r) => (isIgnored(r) ? 0 : value));
      const hits = reference.hits(logits, used, V);
      return {
        losses: { reference: counted(losses), bound: counted(bounds) },
        hits: { reference: counted(hits), bound: new Float64Array(R) }, // comparisons are exact
        logits: { reference: logits, bound: new Float64Array(R * V) },
      };
    },
    calls: (variants, operands) => crossEntropy(variants, { rows: R, columns: V }, undefined, operands),
  });
}
