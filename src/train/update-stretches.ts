/** What an update takes at once: stretches of neighbouring tensors that it treats alike, in one dispatch each. */
import { isDeepStrictEqual } from 'node:util';
import type { Arena } from '../autograd/arena.js';
import { sizeOf, type Tensor } from '../autograd/tensor.js';
import type { Memory } from '../gpu/memory.js';
import { BYTES } from '../kernels/element-type.js';
import type { MomentsOf } from '../kernels/tensor-health.js';
import type { ModelTensors } from '../model/tensors.js';
import type { OptimizedParameter } from '../optim/adamw.js';
import type { AveragedWeights } from '../optim/average.js';
import type { GradientTensors } from './gradient-tensors.js';
import type { HostMoments, MomentStretch } from './host-moments.js';
import { isCoded, type MomentTensors } from './moments.js';
import type { Treatment } from './parameter-rules.js';

/**
 * A group of parameters with its moments. `tensor` and `matrix` (which products read) have their gradient with them.
 */
export interface TrainedGroup extends Pick<OptimizedParameter, 'tensor' | 'schedule'> {
  /** The moments on the device; those that are kept in host memory have none there. */
  readonly moments: MomentsOf<Tensor> | undefined;
  readonly matrix: Tensor;
  readonly treatment: Treatment;
}

/** What of a step its update goes by. */
interface Updated {
  readonly parameters: ReadonlyMap<string, TrainedGroup>;
  readonly gradients: GradientTensors;
  readonly moments: MomentTensors;
}

/** Returns what the optimizer updates at once. Moments in host memory are given the slots that they pass through. */
export function updatedStretches(
  memory: Memory,
  model: ModelTensors,
  step: Updated,
  slotBytes?: number,
): OptimizedParameter[] {
  const { stored, weights, halves } = model;
  const { parameters, gradients, moments } = step;
  const treatmentOf = (group: string) => parameters.get(group)?.treatment;
  const isAlike = (a: string, b: string) =>
    treatmentOf(a) !== undefined &&
    treatmentOf(a)!.kept + (treatmentOf(b)?.kept ?? 0) === 0 &&
    isDeepStrictEqual(treatmentOf(a), treatmentOf(b)) &&
    halves.has(a) === halves.has(b) && // matrices and norms are treated alike where nothing decays
    gradients.areTogether(a, b) && // where matrices are in bf16, gradients begin elsewhere than the norms do
    moments.areNeighbours(a, b);
  const stretchesOf = (arena: Arena) =>
    arena
      .stretches(isAlike)
      .filter(([name]) => parameters.has(name!))
      .map(names => ({ names, span: arena.span(names) }));
  const found = [stored, weights].flatMap(stretchesOf);
  const offloaded = found.filter(({ names }) => moments.isOffloaded(names[0]!));
  const host = offloaded.length > 0 ? offload(memory, model, step, offloaded, slotBytes) : undefined;
  return found.map(({ names, span }) => ({
    tensor: { ...span, gradient: gradients.span(names) },
    half: halves.has(names[0]!) ? halves.span(names) : undefined,
    ...parameters.get(names[0]!)!.treatment,
    parts: moments.isOffloaded(names[0]!)
      ? host!.pieces[offloaded.findIndex(one => one.names === names)]!
      : [{ start: 0, count: sizeOf(span.shape), moments: moments.span(names) }],
    schedule: parameters.get(names[0]!)!.schedule,
  }));
}

function offload(
  memory: Memory,
  { groups }: ModelTensors,
  { parameters, gradients, moments }: Updated,
  offloaded: readonly { readonly names: readonly string[]; readonly span: Tensor }[],
  slotBytes?: number,
): HostMoments {
  const ofName = new Map(groups.map(group => [group.name, group]));
  /** The elements before a tensor's: those of its gradient, which stands as the tensor does. */
  const startOf = (name: string) => {
    const { dtype, offsetBytes } = gradients.tensor(name);
    return offsetBytes! / BYTES[dtype];
  };
  const stretches = offloaded.map(
    ({ names, span }): MomentStretch => ({
      starts: new Map(names.map(name => [name, startOf(name) - startOf(names[0]!)])),
      count: sizeOf(span.shape),
      isCoded: isCoded(ofName.get(names[0]!)!, moments.type),
      frozenSteps: parameters.get(names[0]!)!.treatment.frozenSteps,
    }),
  );
  return moments.offload(memory, stretches, slotBytes);
}

/** Returns what is averaged at once: all neighbours that have f16 copies, or have none. */
export function averagedStretches(model: ModelTensors, average: Arena | undefined): AveragedWeights[] {
  if (!average) return [];
  const { weights, halves } = model;
  return weights
    .stretches((a, b) => halves.has(a) === halves.has(b))
    .map(names => ({
      weight: weights.span(names),
      average: average.span(names),
      half: halves.has(names[0]!) ? halves.span(names) : undefined,
    }));
}
