/** How a run makes its steps: alone, or with other ranks. */
import type { Batch } from '../data/mixture.js';
import type { OuterStep } from '../train/outer-step.js';
import { type Exchange, SharedStep } from '../train/shared-step.js';
import type { TrainContext } from './context.js';
import { shareOf } from './parallel.js';

/** A step that was submitted: the batch that this process trained, and what the exchange with others took. */
export interface Stepped extends Batch {
  readonly exchange?: Exchange | undefined;
}

export interface Stepping {
  /** Submits a step on the whole batch. */
  submit(batch: Batch, learningRate: number): Promise<Stepped>;
  /** Whether the run is to stop before the next step: every rank says so at the same step. */
  isStopping(): Promise<boolean>;
  /** Whether something is so on any rank, where it need not be on all. */
  isAnywhere(own: boolean): Promise<boolean>;
  /** Makes what all ranks hold one, before it is evaluated, or saved with the optimizer's state. */
  settle(withState: boolean): Promise<void>;
}

export function steppingOf(context: TrainContext): Stepping {
  if (context.outer) return apart(context, context.outer);
  if (context.ranks.size === 1) return alone(context);
  return inStep(context);
}

function alone({ trainer, signal }: TrainContext): Stepping {
  return {
    submit: async (batch, learningRate) => {
      await trainer.submit(batch.sequences, learningRate, batch.weights);
      return batch;
    },
    isStopping: async () => signal?.aborted === true,
    isAnywhere: async own => own,
    settle: async () => {},
  };
}

/** Data parallelism: all ranks make the same update at every step, so that they hold the same at any time. */
function inStep({ run, trainer, ranks, signal }: TrainContext): Stepping {
  const step = new SharedStep(trainer, ranks, { wire: run.gradientType });
  const isAborted = () => signal?.aborted === true;
  /** What all said at the last step: it travelled with the gradients, so that nobody waits for it. */
  let said: Promise<boolean[]> | undefined;
  return {
    submit: async (batch, learningRate) => {
      said = ranks.gather(isAborted());
      said.catch(() => {}); // the step fails with it
      const own = shareOf(batch, ranks);
      const total = batch.weights?.reduce((sum, weight) => sum + weight, 0); // of all ranks, which draw the same
      return { ...own, exchange: await step.submit(own.sequences, learningRate, own.weights, total) };
    },
    isStopping: async () => (await (said ?? ranks.gather(isAborted()))).some(Boolean),
    isAnywhere: async own => own,
    settle: async () => {},
  };
}

/** DiLoCo: each rank goes alone, and all meet every so many steps, or where something is due that needs one model. */
function apart({ run, trainer, ranks, signal }: TrainContext, outer: OuterStep): Stepping {
  let met = trainer.step;
  let isStopping = false;
  const meet = async () => {
    met = trainer.step;
    isStopping = (await ranks.gather(signal?.aborted === true)).some(Boolean);
    return outer.make();
  };
  return {
    submit: async (batch, learningRate) => {
      const own = shareOf(batch, ranks);
      await trainer.submit(own.sequences, learningRate, own.weights);
      return trainer.step % run.syncEvery === 0 ? { ...own, exchange: await meet() } : own;
    },
    isStopping: async () => isStopping,
    isAnywhere: async own => (await ranks.gather(own)).some(Boolean),
    settle: async withState => {
      if (met !== trainer.step) await meet();
      if (withState) await outer.shareState();
    },
  };
}
