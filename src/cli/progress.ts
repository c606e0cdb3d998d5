/** Shows how far a command is: by a bar on a terminal, by lines elsewhere. */
import cliProgress, { type Params } from 'cli-progress';
import { short } from '../report/numbers.js';

export interface Progress {
  /** Shows that `done` of the total is done, with `details` after the bar, for instance `loss 3.21`. */
  update(done: number, details?: string): void;
  stop(): void;
}

// this is CommonJS, whose Format Node does not find by name
const { Format, Presets, SingleBar } = cliProgress;

/** Returns the time left in the two units that matter: `45s`, `12m30s`, `3h05m`, `2d04h`. */
export function timeLeft(seconds: number): string {
  const two = (value: number) => String(Math.floor(value)).padStart(2, '0');
  if (seconds < 60) return `${Math.round(seconds)}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h${two((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86400)}d${two((seconds % 86400) / 3600)}h`;
}

/** The cells of the bar where there is room. */
const BAR = 24;
/** The shortest that a label becomes before the details are cut. */
const SHORTEST_LABEL = 8;

/**
 * Returns a bar that is redrawn in place on `stream`, which is a terminal. Where that is narrow, the bar gives way
 * first, then the counts, then the label; percentage, details and the time left stay.
 */
export function barProgress(label: string, total: number, unit: string, stream: NodeJS.WritableStream): Progress {
  const bar = new SingleBar(
    {
      format: (options, params: Params, { details }: { details: string }) => {
        const counts = `${short(params.value)}/${short(params.total)} ${unit}`;
        // the estimate is a word such as INF until there is a speed
        const eta = `ETA ${Number.isFinite(params.eta) ? timeLeft(params.eta) : '?'}`;
        const line = fitLine(
          { label, counts, details, eta, percent: Math.floor(100 * params.progress) },
          params.maxWidth,
        );
        return line.before + Format.BarFormat(params.progress, { ...options, barsize: line.bar }) + line.after;
      },
      hideCursor: true,
      barsize: BAR,
      etaBuffer: 20,
      stream,
    },
    Presets.shades_classic,
  );
  bar.start(total, 0, { details: '' });
  return {
    update: (done, details = '') => bar.update(done, { details }),
    stop: () => bar.stop(),
  };
}

interface Shown {
  readonly label: string;
  readonly percent: number;
  readonly counts: string;
  readonly details: string;
  readonly eta: string;
}

/**
 * Returns what stands before and after a bar of `bar` cells. All takes fewer than `columns`: the last is the cursor's.
 */
function fitLine({ label, percent, counts, details, eta }: Shown, columns: number) {
  const after = (...parts: string[]) => [`${percent}%`, ...parts, eta].filter(part => part !== '').join(' · ');
  const room = columns - 1 - label.length - 1;
  const whole = after(counts, details);
  const bar = Math.min(BAR, room - whole.length - 1);
  if (bar > 0) return { before: `${label} `, bar, after: ` ${whole}` };
  if (whole.length <= room) return { before: `${label} `, bar: 0, after: whole };
  const brief = after(details);
  const name = shorten(label, Math.max(SHORTEST_LABEL, columns - 2 - brief.length));
  const left = columns - 2 - name.length - after('').length - ' · '.length;
  return { before: `${name} `, bar: 0, after: after(shorten(details, left)) };
}

const shorten = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, Math.max(0, length - 1))}…`;

const LINE_INTERVAL_MS = 5000;

/** Returns a progress that prints a line every few seconds on stderr. */
export function lineProgress(label: string, total: number, unit: string): Progress {
  const started = Date.now();
  let printed = 0;
  let last = '';
  const line = (done: number, details: string) => {
    const elapsed = (Date.now() - started) / 1000;
    const eta = done > 0 ? Math.round((elapsed / done) * (total - done)) : 0;
    return (
      `${label} ${Math.floor((100 * done) / total)}% · ${short(done)}/${short(total)} ` +
      `${unit}${details && ` · ${details}`} · ETA ${timeLeft(eta)}`
    );
  };
  return {
    update(done, details = '') {
      last = line(done, details);
      if (Date.now() - printed < LINE_INTERVAL_MS) return;
      printed = Date.now();
      process.stderr.write(`${last}\n`);
      last = '';
    },
    stop() {
      if (last) process.stderr.write(`${last}\n`);
      last = '';
    },
  };
}

/** Work that is done sooner needs no bar. */
const SHORT_MS = 1000;

/** Runs what computes without a pause, and shows its progress on a terminal once it has taken a second. */
export function withProgress<Result>(
  label: string,
  unit: string,
  compute: (onProgress: (done: number, total: number) => void) => Result,
): Result {
  if (!process.stderr.isTTY) return compute(() => {});
  const started = Date.now();
  let bar: Progress | undefined;
  try {
    return compute((done, total) => {
      if (Date.now() - started < SHORT_MS) return;
      bar ??= barProgress(label, total, unit, process.stderr);
      bar.update(done);
    });
  } finally {
    bar?.stop();
  }
}
