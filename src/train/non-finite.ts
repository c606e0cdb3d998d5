/**
 * Finds where a step stopped being finite: it runs the batches again, keeps every tensor, and looks at them in order.
 */
import { bytesOf } from '../autograd/tensor.js';
import { floatsOf } from '../kernels/element-type.js';
import type { BatchShape } from '../model/llama.js';
import type { Model } from '../model/model.js';
import { GradientPass } from './gradients.js';
import { treatmentsOf } from './parameter-rules.js';
import { type RecordedOp, recordOp } from './recorded-op.js';
import type { TrainerSettings } from './traced-step.js';

export interface NonFinite {
  /** The name of the tensor, for instance 'model.layers.2.mlp.down_proj.linear', or a gradient's name. */
  readonly tensor: string;
  readonly index: number;
  readonly value: number;
  /** The op that made it, with its inputs; undefined for a weight. */
  readonly op?: RecordedOp | undefined;
}

/**
 * Finds the first value that is not finite, in the order of computation: weights, forward, backward.
 * @param sequences the batch of the step [n*B, T+1].
 * @param shape of a micro-batch, with the rules by which parameters are frozen, which have no gradient, and the id that
 * ends a document where attention stays within documents.
 * @param lossScale the loss scale of the step, in f16.
 * @param weights those of the step [n*B, T], where it had any.
 * @returns undefined where everything is finite (for instance when the sum of squares of the gradients overflowed).
 */
export async function locateNonFinite(
  model: Model,
  sequences: Uint32Array,
  shape: BatchShape & Pick<TrainerSettings, 'parameterGroups' | 'documentEnd'>,
  lossScale = 1,
  weights?: Float32Array,
): Promise<NonFinite | undefined> {
  for (const { name } of model.specs) {
    const found = firstNonFinite(name, await model.read(name));
    if (found) return found;
  }
  const { parameterGroups } = shape;
  const treatments = treatmentsOf(model.config, { weightDecay: 0, parameterGroups, lora: model.lora });
  const isTrained = (group: string) => !treatments.get(group)!.frozen;
  const { documentEnd } = shape;
  const options = { lossScale, weighted: weights !== undefined, documentEnd, isTrained };
  const pass = await GradientPass.create(model, shape, { keepAll: true, ...options });
  try {
    const length = shape.B * (shape.T + 1);
    for (let start = 0; start < sequences.length; start += length) {
      const batch = sequences.subarray(start, start + length);
      const first = (start / length) * shape.B * shape.T;
      const own = weights?.subarray(first, first + shape.B * shape.T);
      pass.submit(batch, [], own);
      for (const [i, node] of pass.plan.nodes.entries()) {
        model.device.submit(pass.plan.commandsOf(i)); // op by op: later ops may add to the same gradient
        for (const tensor of [...node.results, ...(node.updates ?? [])]) {
          const { buffer, offsetBytes } = pass.plan.rangeOf(tensor);
          const bytes = await model.device.read(buffer, offsetBytes, bytesOf(tensor));
          const values = floatsOf(bytes, tensor.dtype);
          const found = firstNonFinite(tensor.name, values);
          if (!found) continue;
          const before = pass.plan.nodes.slice(0, i).flatMap((_, earlier) => pass.plan.commandsOf(earlier));
          const copies = pass.plan.commandsOf(i).filter(({ kind }) => kind === 'copy');
          pass.submit(batch, [...before, ...copies], own);
          return { ...found, op: await recordOp(model.device, model.variants, pass.plan, node, found) };
        }
      }
    }
    return undefined;
  } finally {
    pass.destroy();
  }
}

function firstNonFinite(tensor: string, values: Float32Array): NonFinite | undefined {
  const index = values.findIndex(value => !Number.isFinite(value));
  return index < 0 ? undefined : { tensor, index, value: values[index]! };
}
