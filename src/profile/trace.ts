/**
 * One replay in Chrome's trace format, which ui.perfetto.dev and chrome://tracing read ("Trace Event Format", Google):
 * complete events (`ph` X) with `ts` and `dur` in microseconds, on a row for the host and one for the GPU.
 */
import { showShape, type Tensor } from '../autograd/tensor.js';
import { constantsOf } from '../kernels/source.js';
import type { Replay, Replayed } from './profile.js';

const PROCESS = 1;
const ROWS = { host: 1, GPU: 2 } as const;

interface RowName {
  readonly ph: 'M';
  readonly name: 'process_name' | 'thread_name';
  readonly pid: number;
  readonly tid: number;
  readonly args: { readonly name: string };
}

interface CompleteEvent {
  readonly ph: 'X';
  readonly name: string;
  readonly cat: keyof typeof ROWS;
  readonly ts: number;
  readonly dur: number;
  readonly pid: number;
  readonly tid: number;
  readonly args: Readonly<Record<string, unknown>>;
}

export interface ChromeTrace {
  readonly displayTimeUnit: 'ms';
  readonly traceEvents: readonly (RowName | CompleteEvent)[];
}

/** Returns a replay as a trace. @param title the title of the process in the viewer. */
export function chromeTrace({ dispatches, timeline }: Replay, title: string): ChromeTrace {
  const complete = (row: keyof typeof ROWS, name: string, ms: { start: number; milliseconds: number }, args = {}) => ({
    ph: 'X' as const,
    name,
    cat: row,
    ts: 1000 * ms.start,
    dur: 1000 * ms.milliseconds,
    pid: PROCESS,
    tid: ROWS[row],
    args,
  });
  const began = gpuBegin(timeline);
  return {
    displayTimeUnit: 'ms',
    traceEvents: [
      { ph: 'M', name: 'process_name', pid: PROCESS, tid: ROWS.host, args: { name: title } },
      ...Object.entries(ROWS).map(
        ([name, tid]): RowName => ({ ph: 'M', name: 'thread_name', pid: PROCESS, tid, args: { name } }),
      ),
      ...timeline.host.map(span => complete('host', span.activity, span)),
      ...timeline.dispatches.map(({ label, start, milliseconds }, i) =>
        complete('GPU', label, { start: began + start, milliseconds }, argsOf(dispatches[i]!)),
      ),
    ],
  };
}

/**
 * Returns where on the host's clock the first dispatch began. The two clocks have nothing in common. But it began after
 * it was submitted, and the last dispatch ended before the host had waited for it. The result is as late as both allow,
 * at the end of its submission.
 */
function gpuBegin({ dispatches, host }: Replay['timeline']): number {
  const endOf = ({ start, milliseconds }: { start: number; milliseconds: number }) => start + milliseconds;
  const submitted = host.find(({ activity }) => activity === 'submit')!;
  return Math.min(endOf(submitted), endOf(host.at(-1)!) - Math.max(...dispatches.map(endOf)));
}

const showTensor = ({ name, dtype, shape }: Tensor): string => `${name} ${dtype} ${showShape(shape)}`;

function argsOf({ dispatch, source }: Replayed): Record<string, unknown> {
  const { workgroups } = dispatch;
  if (!source?.call) return { workgroups };
  const { node, call } = source;
  return {
    node: node.name,
    reads: node.inputs.map(showTensor),
    makes: node.results.map(showTensor),
    updates: (node.updates ?? []).map(showTensor),
    workgroups,
    constants: constantsOf(call.source),
  };
}
