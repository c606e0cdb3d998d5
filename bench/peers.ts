/**
 * The same work on every engine that is installed: each in a process of its own, checked, then timed in rounds in which
 * they take turns.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../src/errors.js';
import { median } from '../src/median.js';
import { type EngineChoice, OURS, PYTORCH } from './engines/engines.js';
import { EngineProcess } from './engines/process.js';
import { COMPARED, type ComparedWork } from './engines/tasks.js';
import type { Bar, PeerResults, PeerRow, PeerWork } from './result.js';
import { atLeast, atMost } from './summary.js';

export interface PeerOptions {
  readonly rounds: number;
  /** Seconds for each engine in each round, about. */
  readonly seconds: number;
  readonly works?: readonly ComparedWork[];
  readonly onProgress?: (done: number, total: number, details: string) => void;
}

interface Running {
  readonly choice: EngineChoice;
  readonly engine?: EngineProcess;
  readonly missing?: string;
}

export async function comparePeers(choices: readonly EngineChoice[], options: PeerOptions): Promise<PeerResults> {
  const { works = COMPARED, rounds, onProgress } = options;
  const folder = mkdtempSync(join(tmpdir(), 'babelgrad-bench-'));
  const running: Running[] = [];
  try {
    for (const choice of choices) running.push(await start(choice));
    const results: PeerWork[] = [];
    for (const [i, work] of works.entries()) {
      const report = (step: number, details: string) =>
        onProgress?.(i * (rounds + 1) + step, works.length * (rounds + 1), `${work.name}: ${details}`);
      results.push(await compareWork(work, running, join(folder, String(i)), options, report));
      rmSync(join(folder, String(i)), { recursive: true });
    }
    const engines = running.map(({ choice, engine, missing }) => ({
      name: choice.name,
      webgpu: choice.webgpu,
      ...(engine?.info ?? { missing: missing! }),
    }));
    return { engines, works: results };
  } finally {
    for (const { engine } of running) engine?.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function start(choice: EngineChoice): Promise<Running> {
  if ('missing' in choice.start) return { choice, missing: choice.start.missing };
  try {
    return { choice, engine: await EngineProcess.start(choice.start) };
  } catch (error) {
    return { choice, missing: `does not start: ${messageOf(error)}` };
  }
}

type MutableRow = { -readonly [Key in keyof PeerRow]: PeerRow[Key] };

async function compareWork(
  work: ComparedWork,
  running: readonly Running[],
  folder: string,
  { rounds, seconds }: PeerOptions,
  report: (step: number, details: string) => void,
): Promise<PeerWork> {
  mkdirSync(folder);
  const task = work.task(folder);
  const rows: MutableRow[] = running.map(({ choice, missing }) => ({
    engine: choice.name,
    wall: [],
    ...(missing && { refused: missing }),
  }));
  const ready: { engine: EngineProcess; row: MutableRow }[] = [];
  let ours: readonly number[] | undefined;
  for (const [i, { choice, engine }] of running.entries()) {
    if (!engine) continue;
    const row = rows[i]!;
    report(0, `checking ${choice.name}`);
    try {
      const results = join(folder, `results-${i}`);
      mkdirSync(results);
      const prepared = await engine.prepare(task, results);
      if ('unsupported' in prepared) {
        row.refused = prepared.unsupported;
        continue;
      }
      ready.push({ engine, row });
      const { check, losses, costs } = prepared;
      if (choice.name === OURS) ours = losses;
      if (costs) row.costs = costs;
      if (losses) row.losses = losses;
      // ours has checked itself against float64; its losses are what the others' are compared with
      row.check = check ?? work.verify({ results, ...(losses && { losses }), ...(ours && { ours }) });
    } catch (error) {
      row.refused = messageOf(error);
    }
  }
  for (let round = 0; round < rounds; round++) {
    // there and back again, so that nobody always follows the same neighbour
    for (const { engine, row } of round % 2 === 0 ? ready : [...ready].reverse()) {
      if (row.refused) continue;
      report(round + 1, row.engine);
      try {
        row.wall.push(...(await engine.measure(seconds)));
      } catch (error) {
        row.refused = messageOf(error);
        row.wall.length = 0;
      }
    }
  }
  for (const { engine } of ready) await engine.dispose().catch(() => {});
  const { name, kind, flops, bytes, rate, tokens } = work;
  return { name, kind, flops, bytes, rate, ...(tokens && { tokens }), rows };
}

/** How often our median time goes into the least of the others'; undefined where one of them has none. */
export function speedup(work: PeerWork, others: readonly string[]): number | undefined {
  const timeOf = (name: string) => {
    const row = work.rows.find(({ engine }) => engine === name);
    return row && row.wall.length > 0 ? median(row.wall) : undefined;
  };
  const ours = timeOf(OURS);
  const times = others.map(timeOf).filter(time => time !== undefined);
  return ours === undefined || times.length === 0 ? undefined : Math.min(...times) / ours;
}

/** What was to be reached on a software adapter, with what was. */
export function peerBars({ engines, works }: PeerResults): Bar[] {
  const webgpu = engines.filter(({ name, webgpu }) => webgpu && name !== OURS).map(({ name }) => name);
  const bars: Bar[] = [];
  const handicap = engines.find(({ name }) => name === PYTORCH)?.handicap ?? undefined;
  const againstPytorch = (what: string, bar: number, work: PeerWork) =>
    atLeast(`${what}: speed over PyTorch's`, bar, handicap ? undefined : speedup(work, [PYTORCH]), handicap);
  const factors: Readonly<Record<string, readonly [best: number, pytorch?: number]>> = {
    matmul: [2.5, 0.8],
    attention: [3],
    adamw: [2],
  };
  for (const work of works) {
    const factor = factors[work.kind];
    if (!factor) continue;
    const [best, pytorch] = factor;
    bars.push(atLeast(`${work.name}: speed over the best WebGPU peer's`, best, speedup(work, webgpu)));
    if (pytorch) bars.push(againstPytorch(work.name, pytorch, work));
  }
  const step = works.find(({ kind }) => kind === 'step');
  if (step) {
    bars.push(atLeast('training step: speed over jax-js', 4, speedup(step, ['jax-js'])));
    bars.push(againstPytorch('training step', 0.5, step));
    const costs = step.rows.find(({ engine }) => engine === OURS)?.costs;
    bars.push(atMost('training step: dispatches', 300, costs?.dispatches));
    bars.push(atMost('training step: submits', 1, costs?.submits));
    bars.push(atMost('training step: buffers made after step 2', 0, costs?.buffersAfterStep2));
    bars.push(atMost('training step: peak MB', 150, costs?.peakBytes && costs.peakBytes / 1e6));
  }
  return bars;
}
