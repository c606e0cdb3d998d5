/** How a run makes its steps: alone, or with other ranks. */
import { type Exchange, SharedStep } from '../train/shared-step.js';
import type { TrainContext } from './context.js';
import { shareOf } from './parallel.js';

/** A step that was submitted: the sequences that this process trained, and what the exchange with others took. */
export interface Stepped {
  readonly sequences: Uint32Array;
  readonly exchange?: Exchange | undefined;
}

export interface Stepping {
  /** Submits a step on the sequences of the whole batch [n, T+1]. */
  submit(sequences: Uint32Array, learningRate: number): Promise<Stepped>;
  /** Whether the run is to stop before the next step: every rank says so at the same step. */
  isStopping(): Promise<boolean>;
}

export function steppingOf({ run, trainer, ranks, signal }: TrainContext): Stepping {
  const isAborted = () => signal?.aborted === true;
  if (!ranks) {
    return {
      submit: async (sequences, learningRate) => {
        trainer.submit(sequences, learningRate);
        return { sequences };
      },
      isStopping: async () => isAborted(),
    };
  }
  const step = new SharedStep(trainer, ranks, { wire: run.gradientType });
  /** What all said at the last step: it travelled with the gradients, so that nobody waits for it. */
  let said: Promise<boolean[]> | undefined;
  return {
    submit: async (batch, learningRate) => {
      said = ranks.gather(isAborted());
      said.catch(() => {}); // the step fails with it
      const sequences = shareOf(batch, ranks);
      return { sequences, exchange: await step.submit(sequences, learningRate) };
    },
    isStopping: async () => (await (said ?? ranks.gather(isAborted()))).some(Boolean),
  };
}
