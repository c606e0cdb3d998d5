/** What the compiler of a GPU makes of the kernels: of a GPU of this machine, or of one that it does not have. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, createReadStream, existsSync, fstatSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { UserError } from '../errors.js';
import { packageRoot } from '../files.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import { DRIVER_VARIABLES, driverOf, machineOf, NO_CACHE } from './gpus.js';
import { othersPerMatrix } from './hot-loop.js';
import { readStatistics } from './readers.js';
import { type Roofline, rooflineOf } from './roofline.js';
import type { Statistics } from './statistics.js';
import { type Compiled, readMarker, type Task, type TaskResult } from './task.js';

/** A kernel, and what the compiler says of it. */
export interface CompiledKernel extends Compiled {
  /** Undefined where the driver printed none. */
  readonly statistics?: Statistics | undefined;
  readonly roofline?: Roofline | undefined;
  /** The other instructions to one on matrices, in a hot loop that has such. */
  readonly othersPerMatrix?: number | undefined;
}

export interface CompiledKernels {
  /** The GPU's name in tools/gpu-compilers.sh; undefined for an adapter of this machine. */
  readonly gpu?: string | undefined;
  readonly adapter: AdapterDescription;
  readonly kernels: readonly CompiledKernel[];
}

export interface CompileOptions extends Task {
  readonly gpu?: string | undefined;
  /** Whether the driver is to print what it makes of kernels; without, it tells only whether it takes them. */
  readonly statistics?: boolean;
  /** The most seconds for one kernel, and before the first one: packages may have to be fetched. */
  readonly patience?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, count: number, label: string) => void) | undefined;
}

/** The longest that a driver was seen to take over a kernel, on a machine with other work to do, was two minutes. */
const PATIENCE = 600;

/**
 * Compiles the kernels in a process of its own, one at a time.
 * @throws UserError when the compilers cannot be had, the adapter or model is none, or the driver hangs or crashes.
 */
export async function compileKernels(options: CompileOptions): Promise<CompiledKernels> {
  const { gpu, models, names, adapter, statistics = true } = options;
  const script = join(packageRoot, 'tools', 'gpu-compilers.sh');
  if (gpu !== undefined && !existsSync(script)) {
    throw new UserError(`--gpu needs '${script}', which a checkout of the project has; without it, this machine's GPU`);
  }
  const environment = { ...process.env, ...NO_CACHE, ...(statistics && DRIVER_VARIABLES) };
  if (gpu !== undefined) delete environment.BABELGRAD_ADAPTER; // the GPU is the one that comes first
  const task: Task = { models, names, adapter };
  const parameters = [join(packageRoot, 'dist', 'src', 'compile', 'child.js'), JSON.stringify(task)];
  const [command, ...before] = gpu === undefined ? [process.execPath] : ['bash', script, gpu];
  // a file and not a pipe: drivers do not look whether a pipe has room, and lose what it has none for
  const folder = mkdtempSync(join(tmpdir(), 'babelgrad-compile-'));
  const log = join(folder, 'log');
  const stderr = openSync(log, 'w');
  try {
    const child = spawn(command!, [...before, ...parameters], {
      env: environment,
      stdio: ['ignore', 'pipe', stderr],
      signal: options.signal,
    });
    const result = await resultOf(child, gpu ?? 'this machine', log, options);
    if ('error' in result) throw new UserError(result.error);
    return { gpu, adapter: result.adapter, kernels: await withStatistics(result, log, gpu) };
  } finally {
    closeSync(stderr);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Waits for the process. @throws UserError with the end of its log if it fails, or hangs at a kernel. */
async function resultOf(
  child: ChildProcess,
  name: string,
  log: string,
  { patience = PATIENCE, onProgress }: CompileOptions,
): Promise<TaskResult> {
  let doing = 'start';
  let isOverdue = false;
  const giveUp = () => {
    isOverdue = true;
    child.kill('SIGKILL');
  };
  let timer = setTimeout(giveUp, 1000 * patience);
  let last = '';
  createInterface({ input: child.stdout! }).on('line', line => {
    const marker = readMarker(line);
    if (marker) {
      clearTimeout(timer);
      timer = setTimeout(giveUp, 1000 * patience);
      doing = `compile '${marker.label}'`;
      onProgress?.(marker.index + (marker.side === 'end' ? 1 : 0), marker.count, marker.label);
    } else if (line !== '') last = line;
  });
  const status = await new Promise<number | string | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? signal));
  }).finally(() => clearTimeout(timer));
  if (isOverdue)
    throw new UserError(`the compiler of ${name} took more than ${patience} s to ${doing}; it was stopped`);
  if (status !== 0) {
    throw new UserError(`compiling on ${name} ended with ${status}, about to ${doing}:\n${endOf(log)}`);
  }
  return JSON.parse(last) as TaskResult;
}

/** Returns the last lines of a file. */
function endOf(path: string): string {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(Math.min(2000, fstatSync(file).size));
    readSync(file, bytes, 0, bytes.length, fstatSync(file).size - bytes.length);
    return bytes.toString().trimEnd().split('\n').slice(-6).join('\n');
  } finally {
    closeSync(file);
  }
}

/** Reads what the driver said of each kernel, one after the other, since all of it can be large. */
async function withStatistics(
  { adapter, kernels }: Exclude<TaskResult, { error: string }>,
  log: string,
  gpu: string | undefined,
): Promise<CompiledKernel[]> {
  const driver = driverOf(adapter.driver);
  const machine = gpu === undefined ? undefined : machineOf(gpu);
  const found: CompiledKernel[] = [...kernels];
  let lines: string[] | undefined;
  for await (const line of createInterface({ input: createReadStream(log) })) {
    const marker = readMarker(line);
    if (marker?.side === 'end' && lines && driver) {
      const kernel = kernels[marker.index]!;
      const statistics = readStatistics(driver, lines.join('\n'));
      const roofline = machine && statistics && rooflineOf(machine, statistics, kernel.work);
      const others = statistics?.hotLoop && othersPerMatrix(statistics.hotLoop);
      found[marker.index] = { ...kernel, statistics, roofline, othersPerMatrix: others };
    }
    if (marker) lines = marker.side === 'begin' ? [] : undefined;
    else lines?.push(line);
  }
  return found;
}
