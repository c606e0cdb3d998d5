/**
 * The command `bench`: how fast this adapter is at the engine's kernels and at a training step, and how fast others are
 * on it.
 */
import { join } from 'node:path';
import { benchmark } from '../../bench/benchmark.js';
import { select } from '../../bench/catalogue.js';
import { FULL, TRIAL } from '../../bench/gpu/parts.js';
import { gpuBenchmark } from '../../bench/gpu/session.js';
import { torchWithCuda } from '../../bench/gpu/torch.js';
import { softwareNote } from '../../bench/page.js';
import {
  BAR_HEAD,
  barRow,
  GPU_HEAD,
  gpuNotes,
  gpuRows,
  PART_HEAD,
  PEER_HEAD,
  partRows,
  peerRow,
  STEP_HEAD,
  stepRow,
  WORK_HEAD,
  workRow,
} from '../../bench/table.js';
import { checkResultPlace, writeResult } from '../../bench/write.js';
import { writeAudit } from '../audit/audit.js';
import { UserError } from '../errors.js';
import { madeBy } from '../report/made.js';
import type { CommandResult, Terminal } from './command.js';
import type { Progress } from './progress.js';
import { textTable } from './table.js';

const [SECONDS, GPU_SECONDS] = [0.5, 0.2];
/** Seconds of tuning for a part of `gpu`, at most. */
const [TUNE_SECONDS, TRIAL_TUNE_SECONDS] = [12, 1];

interface BenchOptions {
  rounds: number;
  seconds?: number;
  size?: number[];
  out?: string;
  adapter?: string;
  trial?: boolean;
  minutes: number;
}

/** The command `bench`. */
export async function bench(terminal: Terminal, options: BenchOptions, names: string[]): Promise<CommandResult> {
  if (names.length === 1 && names[0] === 'gpu') return benchGpu(terminal, options);
  const selection = select(names, options.size);
  const { rounds, seconds = SECONDS, adapter, out } = options;
  if (out) checkResultPlace(out);
  let progress: Progress | undefined;
  const result = await benchmark(selection, {
    adapter,
    rounds,
    seconds,
    onAdapter: ({ name, driver }) => terminal.note(`adapter: ${name} (${driver})`),
    onProgress(done, total, details) {
      // kernels and peers count apart
      if (done === 0 || !progress) {
        progress?.stop();
        progress = terminal.progress('bench', total, 'measurements');
      }
      progress.update(done, details);
    },
  }).finally(() => progress?.stop());

  terminal.print(textTable(WORK_HEAD, result.summary.map(workRow)));
  if (result.steps.length > 0) terminal.print(textTable(STEP_HEAD, result.steps.map(stepRow)));
  if (result.peers) {
    const rows = result.peers.works.flatMap(work => work.rows.map(row => peerRow(work, row)));
    terminal.print(textTable(PEER_HEAD, rows));
    for (const { name, handicap } of result.peers.engines) if (handicap) terminal.print(`${name}: ${handicap}`);
  }
  if (result.bars.length > 0) terminal.print(textTable(BAR_HEAD, result.bars.map(barRow)));
  for (const reason of result.skipped) terminal.print(`skipped: ${reason}`);
  const note = softwareNote(result);
  if (note) terminal.print(note);
  const made = madeBy(['bench', ...names, ...(options.size ? ['--size', ...options.size] : [])].join(' '));
  if (out) for (const file of writeResult(out, result, made)) terminal.print(`written: ${file}`);
  return { ...result };
}

const GPU_FOLDER = 'runs/gpu';

/** `bench gpu`: files are written after every part. */
async function benchGpu(terminal: Terminal, options: BenchOptions): Promise<CommandResult> {
  const { rounds, seconds = GPU_SECONDS, minutes, adapter, trial = false, out = GPU_FOLDER } = options;
  if (options.size) throw new UserError("--size goes with one work, not with 'gpu'");
  if (out.endsWith('.json')) throw new UserError(`'${out}': 'gpu' writes several files; --out names their folder`);
  checkResultPlace(out);
  const torch = torchWithCuda();
  const made = madeBy(`bench gpu --out ${out}`);
  let progress: Progress | undefined;
  const result = await gpuBenchmark({
    adapter,
    rounds,
    seconds,
    limitSeconds: 60 * minutes,
    tuneSeconds: trial ? TRIAL_TUNE_SECONDS : TUNE_SECONDS,
    sizes: trial ? TRIAL : FULL,
    torch,
    onAdapter: ({ name, driver }) => terminal.note(`adapter: ${name} (${driver})`),
    onProgress(done, total, details) {
      progress ??= terminal.progress('bench gpu', total, 'parts');
      progress.update(done, details);
    },
    onAudit: found => writeAudit(join(out, 'audit'), found, made),
    onPart: found => writeResult(out, found, made),
  }).finally(() => progress?.stop());
  const gpu = result.gpu!;
  terminal.print(textTable(PART_HEAD, partRows(gpu)));
  terminal.print(textTable(GPU_HEAD, gpuRows(gpu)));
  for (const note of gpuNotes(gpu)) terminal.print(note);
  const note = softwareNote(result);
  if (note) terminal.print(note);
  terminal.print(`written: ${out}`);
  if (gpu.parts.some(({ state }) => state === 'failed')) process.exitCode = 1;
  return { ...result };
}
