/** The model's head with its loss: logits, softmax cross-entropy and both gradients, a chunk of rows at a time. */
import type { Graph } from '../autograd/graph.js';
import { expectShape, rowsOf, type Tensor } from '../autograd/tensor.js';
import { type KernelCall, rowVariant } from '../kernels/call.js';
import { matmul, matmulVariant } from '../kernels/matmul.js';
import { crossEntropy } from '../kernels/rows.js';

/** What a chunk of logits may take. */
const CHUNK_BYTES = 16 * 2 ** 20;
/** Chunks start at multiples of this, so that a vector's rows start at what every adapter binds (256 bytes). */
const ROWS_ALIGNMENT = 64;

/** Rows of logits [rows, V] that exist at a time: as many as fit 16 MiB, but 64 at least. */
export function chunkRows(rows: number, V: number): number {
  const fitting = Math.floor(CHUNK_BYTES / (4 * V) / ROWS_ALIGNMENT) * ROWS_ALIGNMENT;
  return Math.min(rows, Math.max(ROWS_ALIGNMENT, fitting));
}

/**
 * x [R, C], weight [V, C], targets [R] (IGNORED_TARGET counts for nothing) → loss of each row [R], in nats, of the
 * logits x Wᵀ, which never exist whole.
 *
 * With `gradientScale` the gradients of the losses' sum times it (1/R: of the mean loss) come from the same pass: of x,
 * and into the weight's gradient. This is where a backward walk starts: the losses are the root, no gradient arrives at
 * them.
 */
export function headLoss(
  graph: Graph,
  x: Tensor,
  weight: Tensor,
  targets: Tensor,
  gradientScale?: number,
  chunk = chunkRows(x.shape[0]!, weight.shape[0]!),
): Tensor {
  const [R, C] = x.shape as [number, number];
  const [V] = weight.shape as [number];
  expectShape('head_loss', 'weight', weight, [V, C]);
  expectShape('head_loss', 'targets', targets, [R]);
  const withGradient = gradientScale !== undefined;
  const { gradient } = weight;
  const [losses] = graph.add({
    op: 'head_loss',
    inputs: [x, weight, targets],
    outputs: [{ shape: [R] }, { shape: [chunk, V] }, ...(withGradient ? [{ shape: x.shape }] : [])],
    updates: withGradient && gradient ? [gradient] : [],
    launch(adapter, bind, [losses, logits, dx]) {
      const variant = matmulVariant(adapter);
      const calls: KernelCall[] = [];
      for (let first = 0; first < R; first += chunk) {
        const rows = Math.min(chunk, R - first);
        const part = (tensor: Tensor) => rowsOf(tensor, bind(tensor), first, rows);
        const [xRows, logitsRows] = [part(x), rowsOf(logits!, bind(logits!), 0, rows)];
        calls.push(
          matmul(variant, { form: 'NT', M: rows, N: V, K: C }, { a: xRows, b: bind(weight), c: logitsRows }),
          crossEntropy(rowVariant(adapter), { rows, columns: V }, gradientScale, {
            targets: part(targets),
            logits: logitsRows,
            losses: part(losses!),
          }),
        );
        if (dx) {
          const buffers = { a: logitsRows, b: bind(weight), c: part(dx) };
          calls.push(matmul(variant, { form: 'NN', M: rows, N: C, K: V }, buffers));
        }
        if (dx && gradient) {
          const buffers = { a: logitsRows, b: xRows, c: bind(gradient), addend: 'c' } as const;
          calls.push(matmul(variant, { form: 'TN', M: V, N: C, K: rows }, buffers));
        }
      }
      return calls;
    },
    backward([dlosses], _, [, , dx]) {
      if (dlosses)
        throw new Error('head_loss: the losses are the root of a backward walk, but a gradient reached them');
      if (!dx) throw new Error('head_loss: traced without gradientScale, so there is no gradient');
      return [dx, undefined, undefined];
    },
  });
  return losses!;
}
