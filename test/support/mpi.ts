/** Jobs of several ranks on this machine, started by the installed mpirun. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../../src/files.js';

const has = (program: string): boolean => spawnSync(program, ['--version']).status === 0;

/** The launcher of Open MPI, and that of MPICH where it is installed beside it; undefined where there is none. */
export const OPEN_MPI = ['mpirun.openmpi', 'mpirun'].find(has);
export const MPICH = ['mpirun.mpich'].find(has);

/** Why tests of ranks cannot run here, to stand in their name; nothing where they can. */
export const withoutMpi = OPEN_MPI === undefined ? ' (skipped: no mpirun; Debian has it as openmpi-bin)' : '';

/** As root, and with more ranks than cores, mpirun wants to be told that this is meant. */
const ALLOWED: Record<string, string> = {
  OMPI_ALLOW_RUN_AS_ROOT: '1',
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
  OMPI_MCA_rmaps_base_oversubscribe: '1',
};

const main = join(packageRoot, 'dist/src/cli/main.js');

export interface JobOptions {
  readonly environment?: Record<string, string>;
  readonly launcher?: string | undefined;
  /** A program that starts each rank's. */
  readonly wrapper?: readonly string[];
}

const argumentsOf = (ranks: number, parameters: readonly string[], wrapper: readonly string[] = []) => [
  '-n',
  String(ranks),
  ...wrapper,
  process.execPath,
  main,
  ...parameters,
];

/** Runs the command line as several ranks in a folder. */
export function runJob(
  cwd: string,
  ranks: number,
  parameters: readonly string[],
  { environment = {}, launcher = OPEN_MPI!, wrapper }: JobOptions = {},
): Promise<{ status: number; stdout: string; stderr: string }> {
  return new Promise(resolve => {
    execFile(
      launcher,
      argumentsOf(ranks, parameters, wrapper),
      { cwd, env: { ...process.env, ...ALLOWED, ...environment } },
      (error, stdout, stderr) => {
        resolve({ status: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
      },
    );
  });
}

/** Starts the command line as several ranks, to be disturbed. */
export function startJob(cwd: string, ranks: number, parameters: readonly string[]) {
  const child = spawn(OPEN_MPI!, argumentsOf(ranks, parameters), { cwd, env: { ...process.env, ...ALLOWED } });
  let stderr = '';
  child.stderr.on('data', text => {
    stderr += text;
  });
  const ended = new Promise<{ status: number | null; stderr: string }>(resolve => {
    child.on('close', status => resolve({ status, stderr }));
  });
  return { child, ended };
}

/** Returns the processes of a job's ranks, in their order. */
export function processesOf(launcher: number): number[] {
  const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(launcher)]);
  return String(stdout).trim().split(/\s+/).map(Number);
}
