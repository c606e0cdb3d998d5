/** Puts a fake Slurm on the PATH of this process, for tests of what is asked of Slurm. */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { packageRoot } from '../../src/files.js';

const COMMANDS = ['sbatch', 'squeue', 'sacct', 'scontrol', 'scancel'];

/** How the next sbatch goes; `away` is a controller that does not answer squeue. */
type Fate = 'refuse' | 'die before' | 'die after' | 'lose the answer' | 'away';

export interface FakeTask {
  readonly name: string;
  readonly job: number;
  readonly index: number;
  state: string;
  reason?: string;
}

export class FakeSlurm {
  readonly #folder: string;

  /** Installs it; its state is in `folder`. */
  constructor(folder: string) {
    this.#folder = folder;
    const commands = join(folder, 'bin');
    mkdirSync(commands, { recursive: true });
    const program = join(packageRoot, 'test/support/fake-slurm.mjs');
    for (const command of COMMANDS) {
      this.addCommand(command, `exec '${process.execPath}' '${program}' ${command} "$@"`);
    }
    process.env.PATH = `${commands}${delimiter}${process.env.PATH}`;
    process.env.FAKE_SLURM = folder;
  }

  addCommand(name: string, body: string): void {
    const path = join(this.#folder, 'bin', name);
    writeFileSync(path, `#!/usr/bin/env bash\n${body}\n`);
    chmodSync(path, 0o755);
  }

  /** Empties the queue. */
  reset(): void {
    for (const name of ['tasks.json', 'calls.json', 'accounted.json', 'fate', 'most', 'preempted', 'step', 'log']) {
      rmSync(join(this.#folder, name), { force: true });
    }
  }

  set(name: 'most' | 'preempted' | 'accounted.json' | 'step', value: unknown): void {
    writeFileSync(join(this.#folder, name), JSON.stringify(value));
  }

  setFate(fate: Fate): void {
    writeFileSync(join(this.#folder, 'fate'), JSON.stringify(fate));
  }

  /** The calls of sbatch that were taken, each with the intent that it found written. */
  calls(): { readonly parameters: string[]; readonly intent: Record<string, unknown> }[] {
    return this.#read('calls.json') ?? [];
  }

  tasks(): FakeTask[] {
    return this.#read('tasks.json') ?? [];
  }

  /** Puts an array into the queue that an sbatch of before has submitted. */
  add(name: string, job: number, count: number): void {
    const added = Array.from({ length: count }, (_, index) => ({ name, job, index, state: 'PENDING' }));
    writeFileSync(join(this.#folder, 'tasks.json'), JSON.stringify([...this.tasks(), ...added]));
  }

  /** Changes the tasks in the queue. */
  update(change: (task: FakeTask) => void): void {
    const tasks = this.tasks();
    tasks.forEach(change);
    writeFileSync(join(this.#folder, 'tasks.json'), JSON.stringify(tasks));
  }

  /** What was asked of scontrol and scancel. */
  log(): string[] {
    const path = join(this.#folder, 'log');
    return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
  }

  #read<Value>(name: string): Value | undefined {
    const path = join(this.#folder, name);
    return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Value) : undefined;
  }
}
