/** An engine in a process of its own, asked by lines of JSON: see protocol.ts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Answer, CudaTask, EngineInfo, Prepared, Request, Task } from './protocol.js';

export interface EngineCommand {
  readonly command: string;
  readonly arguments: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
}

const LAST_OUTPUT = 2000;

export class EngineProcess {
  readonly info: EngineInfo;
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  readonly #lastOutput: () => string;

  private constructor(child: ChildProcess, answers: AsyncIterator<string>, lastOutput: () => string, info: EngineInfo) {
    this.#child = child;
    this.#answers = answers;
    this.#lastOutput = lastOutput;
    this.info = info;
  }

  /** @throws Error with what the process said last, when it does not come up. */
  static async start({ command, arguments: given, environment }: EngineCommand): Promise<EngineProcess> {
    const child = spawn(command, given, { env: environment, stdio: ['pipe', 'pipe', 'pipe', 'pipe'] });
    const failure = new Promise<never>((_, reject) => child.once('error', reject));
    failure.catch(() => {});
    let output = '';
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-LAST_OUTPUT);
      });
    }
    child.stdin!.on('error', () => {}); // a process that died is noticed by its missing answer
    const lines = createInterface({ input: child.stdio[3] as Readable });
    const answers = lines[Symbol.asyncIterator]();
    const lastOutput = () => output.trim();
    const info = await Promise.race([failure, nextAnswer<EngineInfo>(answers, lastOutput)]);
    const engine = new EngineProcess(child, answers, lastOutput, info);
    engine.#signal('SIGSTOP');
    return engine;
  }

  prepare(task: Task | CudaTask, results?: string): Promise<Prepared> {
    return this.#ask({ do: 'prepare', task, results });
  }

  /** Milliseconds of one time, a sample for each run within about `seconds`. */
  measure(seconds: number, work?: string): Promise<number[]> {
    return this.#ask({ do: 'measure', seconds, work });
  }

  async dispose(): Promise<void> {
    await this.#ask<null>({ do: 'dispose' });
  }

  close(): void {
    this.#child.stdin!.end();
    this.#child.kill();
    this.#signal('SIGCONT'); // a stopped process does not die
  }

  async #ask<Value>(request: Request): Promise<Value> {
    this.#signal('SIGCONT');
    this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
    try {
      return await nextAnswer<Value>(this.#answers, this.#lastOutput);
    } finally {
      this.#signal('SIGSTOP');
    }
  }

  /**
   * An engine is stopped while it is not asked: some poll, or let threads spin, and would take a core from the others.
   */
  #signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    if (process.platform !== 'win32' && this.#child.exitCode === null) this.#child.kill(signal);
  }
}

async function nextAnswer<Value>(answers: AsyncIterator<string>, lastOutput: () => string): Promise<Value> {
  const { value: line, done } = await answers.next();
  if (done) throw new Error(`its process ended: ${lastOutput() || 'it said nothing'}`);
  const answer = JSON.parse(line) as Answer<Value>;
  if ('error' in answer) throw new Error(answer.error);
  return answer.value;
}
