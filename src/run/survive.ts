/** What a run survives: it goes on on a new device where its own was lost. Where it ends, it says how to go on. */
import { listCheckpoints } from '../checkpoint/find.js';
import { messageOf, UserError } from '../errors.js';
import { DeviceLostError } from '../gpu/device-errors.js';
import { DivergedError, type RunSummary, type TrainContext } from './context.js';

export interface WaitOptions {
  /** The milliseconds that a device which is opened may take to answer, before steps on it tell how long it takes. */
  readonly patienceMs?: number | undefined;
}

/** The number of times that a run goes on on a new device without having come to a new checkpoint. */
const MOST_LOSSES = 3;

/**
 * Runs `attempt`. Where the device is lost that the run has opened, it goes on by `resume` from its latest checkpoint,
 * on a new device; not where other ranks train with it, which cannot go back.
 * @throws whatever ended the run, with what is left of it and how to go on.
 */
export async function surviving<
  Options extends Partial<Pick<TrainContext, 'device' | 'signal' | 'observer' | 'ranks'>> & WaitOptions,
>(
  folder: string,
  options: Options,
  attempt: () => Promise<RunSummary>,
  resume: (folder: string, options: Options) => Promise<RunSummary>,
): Promise<RunSummary> {
  const latestStep = () => listCheckpoints(folder).at(-1)?.step;
  let before = latestStep();
  let losses = 0;
  let next = attempt;
  for (;;) {
    try {
      return await next();
    } catch (error) {
      const latest = latestStep();
      losses = latest === before ? losses + 1 : 1;
      before = latest;
      const isLost = error instanceof DeviceLostError && !options.device && !options.ranks && !options.signal?.aborted;
      if (!isLost || latest === undefined || losses > MOST_LOSSES) throw withWayOn(error, folder);
      const count = `${losses} of at most ${MOST_LOSSES} times`;
      options.observer?.onWarning?.(`${error.message}; going on from the checkpoint of step ${latest} (${count})`);
      // what hung once may hang at once: the next device is given no more time
      const { waitedMs } = error;
      next = () => resume(folder, waitedMs === undefined ? options : { ...options, patienceMs: waitedMs });
    }
  }
}

/** Returns the error that ended a run, with what is left of the run and how to go on. */
function withWayOn(error: unknown, folder: string): unknown {
  const latest = listCheckpoints(folder).at(-1);
  if (error instanceof UserError || error instanceof DivergedError || !latest) return error;
  const way = `the checkpoint of step ${latest.step} is whole; go on with 'babelgrad resume ${folder}'`;
  return new Error(`${messageOf(error)}; ${way}`, { cause: error });
}
