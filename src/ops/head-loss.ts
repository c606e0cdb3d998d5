/** The model's head with its loss: logits, softmax cross-entropy and both gradients, a chunk of rows at a time. */
import type { Graph } from '../autograd/graph.js';
import { expectShape, type Tensor } from '../autograd/tensor.js';
import type { KernelCall, Operand } from '../kernels/call.js';
import { crossEntropy } from '../kernels/cross-entropy.js';
import { matmul } from '../kernels/matmul.js';
import { softCapInPlace } from '../kernels/soft-cap.js';
import { windowOf } from '../kernels/windows.js';

/** The bytes that a chunk of logits may take, unless that is less than ROWS_ALIGNMENT rows. */
const CHUNK_BYTES = 16 * 2 ** 20;
/**
 * Chunks start at multiples of this row number: rows of any type and width then begin at a place that every adapter
 * binds (256 bytes).
 */
const ROWS_ALIGNMENT = 128;

/** Returns how many rows of logits [rows, V] exist at a time: as many as fit 16 MiB, but at least 128. */
export function chunkRows(rows: number, V: number): number {
  const fitting = Math.floor(CHUNK_BYTES / (4 * V) / ROWS_ALIGNMENT) * ROWS_ALIGNMENT;
  return Math.min(rows, Math.max(ROWS_ALIGNMENT, fitting));
}

/** The gradient that the head makes along with the losses. */
export interface HeadGradient {
  /** The factor of the losses' sum: 1/R gives the gradient of the mean loss. */
  readonly scale: number;
  /** A further factor [1] that is read on the device: the loss scale of f16 training. */
  readonly lossScale?: Tensor | undefined;
  /** A weight of each row [R], a factor of its loss too; rows of weight 0 count for nothing. */
  readonly weights?: Tensor | undefined;
}

/**
 * Returns the loss in nats of each row [R], from x [R, C], weight [V, C] and targets [R] (IGNORED_TARGET counts for
 * nothing). The logits x Wᵀ never exist whole: `chunk` rows of them at a time. They are f32; their gradient has x's
 * type. With `softCap` the losses are those of softCap · tanh(logit / softCap).
 *
 * With `gradient`, the same pass makes the gradients: that of x, and the one that is added to the weight's gradient. A
 * backward walk starts here: the losses are the root, and no gradient arrives at them.
 */
export function headLoss(
  graph: Graph,
  x: Tensor,
  weight: Tensor,
  targets: Tensor,
  gradient?: HeadGradient,
  chunk?: number,
  softCap?: number,
): Tensor {
  return head(graph, x, weight, targets, { gradient, chunk, softCap }).losses;
}

/**
 * Returns losses as `headLoss` does without a gradient, and hits [R]: 1 where the target's logit is larger than every
 * other one of its row, else 0.
 */
export function headHits(
  graph: Graph,
  x: Tensor,
  weight: Tensor,
  targets: Tensor,
  chunk?: number,
  softCap?: number,
): { readonly losses: Tensor; readonly hits: Tensor } {
  const { losses, hits } = head(graph, x, weight, targets, { withHits: true, chunk, softCap });
  return { losses, hits: hits! };
}

interface HeadOptions {
  readonly gradient?: HeadGradient | undefined;
  readonly withHits?: boolean;
  /** What logits are capped at: cap · tanh(logit / cap). Default: they are not. */
  readonly softCap?: number | undefined;
  /** The rows of logits that exist at a time. */
  readonly chunk?: number | undefined;
}

function head(
  graph: Graph,
  x: Tensor,
  weight: Tensor,
  targets: Tensor,
  { gradient, withHits = false, softCap, chunk = chunkRows(x.shape[0]!, weight.shape[0]!) }: HeadOptions,
): { readonly losses: Tensor; readonly hits: Tensor | undefined } {
  const [R, C] = x.shape as [number, number];
  const [V] = weight.shape as [number];
  expectShape('head_loss', 'weight', weight, [V, C]);
  expectShape('head_loss', 'targets', targets, [R]);
  const { dtype } = x;
  const { lossScale, weights } = gradient ?? {};
  if (weights) expectShape('head_loss', 'weights', weights, [R]);
  const dweight = gradient && weight.gradient;
  const isSeparate = gradient !== undefined && dtype !== 'f32'; // f32 gradients take the place of the logits
  const [losses, , ...others] = graph.add({
    op: 'head_loss',
    inputs: [x, weight, targets, ...(lossScale ? [lossScale] : []), ...(weights ? [weights] : [])],
    outputs: [
      { shape: [R] },
      { shape: [chunk, V] },
      ...(withHits ? [{ shape: [R] }] : []),
      ...(gradient ? [{ shape: x.shape, dtype }] : []),
      ...(isSeparate ? [{ shape: [chunk, V], dtype }] : []),
    ],
    updates: dweight ? [dweight] : [],
    launch(variants, bind, [losses, logits, ...others]) {
      const hits = withHits ? others[0] : undefined;
      const [dx, dlogits] = gradient ? others : [];
      const calls: KernelCall[] = [];
      for (let first = 0; first < R; first += chunk) {
        const rows = Math.min(chunk, R - first);
        const part = (tensor: Tensor, from = first): Operand => {
          const width = tensor.shape[1] ?? 1;
          const { operand, first: rest } = windowOf(bind(tensor), from * width, rows * width);
          if (rest !== 0) throw new Error(`head_loss: row ${from} of '${tensor.name}' cannot begin a binding`);
          return operand;
        };
        const [xRows, logitsRows] = [part(x), part(logits!, 0)];
        const dlogitsRows = isSeparate ? part(dlogits!, 0) : logitsRows;
        calls.push(
          ...matmul(variants, { form: 'NT', M: rows, N: V, K: C }, { a: xRows, b: bind(weight), c: logitsRows }),
          ...(softCap === undefined ? [] : softCapInPlace(variants, rows * V, { x: logitsRows }, softCap)),
          ...crossEntropy(
            variants,
            { rows, columns: V },
            gradient && {
              scale: gradient.scale,
              dlogits: isSeparate ? dlogitsRows : undefined,
              lossScale: lossScale && bind(lossScale),
              softCap,
            },
            {
              targets: part(targets),
              logits: logitsRows,
              losses: part(losses!),
              weights: weights && part(weights),
              hits: hits && part(hits),
            },
          ),
        );
        if (dx) {
          const operands = { a: dlogitsRows, b: bind(weight), c: part(dx) };
          calls.push(...matmul(variants, { form: 'NN', M: rows, N: C, K: V }, operands));
        }
        if (dweight) {
          const operands = { a: dlogitsRows, b: xRows, c: bind(dweight), addend: 'c' } as const;
          calls.push(...matmul(variants, { form: 'TN', M: V, N: C, K: rows }, operands));
        }
      }
      return calls;
    },
    backward([dlosses], _, [, , dx]) {
      if (dlosses)
        throw new Error('head_loss: the losses are the root of a backward walk, but a gradient reached them');
      if (!dx) throw new Error('head_loss: traced without a gradient');
      return [dx, undefined, undefined];
    },
  });
  return { losses: losses!, hits: withHits ? others[0] : undefined };
}
