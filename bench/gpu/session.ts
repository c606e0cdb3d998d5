/**
 * `bench gpu`: what is to be known of a GPU in eight minutes. Correctness comes first, then part by part the shipped
 * variants, those that were tuned here, and PyTorch, in turns. What is found is handed out whenever a part has ended,
 * so that a run that is cut off keeps it.
 */
import { type Audit, audit } from '../../src/audit/audit.js';
import { messageOf, UserError } from '../../src/errors.js';
import type { AdapterDescription } from '../../src/gpu/adapters.js';
import type { Device } from '../../src/gpu/device.js';
import { openDevice } from '../../src/gpu/open-device.js';
import { type KernelRequest, VariantTable } from '../../src/kernels/variants.js';
import { median } from '../../src/median.js';
import { choicesOf } from '../../src/tune/cache.js';
import { sameVariant } from '../../src/tune/candidates.js';
import { tune } from '../../src/tune/tune.js';
import { type EngineCommand, EngineProcess } from '../engines/process.js';
import { describeMachine } from '../machine.js';
import { measure, type Samples } from '../measure.js';
import type { BenchmarkResult, GpuPart, GpuResults, GpuRow } from '../result.js';
import { ceilingsOf, summarise } from '../summary.js';
import { describeWork, type Work } from '../work.js';
import { copyCeiling, fmaCeiling } from '../works/ceilings.js';
import { type GpuSizes, type Part, partsOf } from './parts.js';
import { peakOf } from './peaks.js';
import { peerWork } from './torch.js';

export interface GpuOptions {
  readonly adapter?: string | undefined;
  readonly rounds: number;
  /** Seconds for each work in each round, about. */
  readonly seconds: number;
  /** After so many no further part begins, and nothing is tuned in the last third of them. */
  readonly limitSeconds: number;
  /** Seconds of tuning for each part, at most. */
  readonly tuneSeconds: number;
  readonly sizes: GpuSizes;
  /** PyTorch with CUDA; undefined where there is none. */
  readonly torch: EngineCommand | undefined;
  readonly onAdapter?: (adapter: AdapterDescription) => void;
  readonly onProgress?: (done: number, total: number, details: string) => void;
  /** What there is so far: after each part. */
  readonly onPart: (result: BenchmarkResult) => void;
  /** What the audit found, whole. */
  readonly onAudit: (found: Audit) => void;
}

export const SHIPPED = 'shipped';
export const TUNED = 'tuned';

export async function gpuBenchmark(options: GpuOptions): Promise<BenchmarkResult> {
  const { sizes, rounds, seconds, limitSeconds, onPart, onAudit, onProgress } = options;
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 1000;
  const parts = partsOf(sizes);
  const names = ['correctness', 'ceilings', ...parts.map(({ name }) => name)];
  const states: GpuPart[] = [];
  const rows: GpuRow[] = [];
  const samples: Samples[] = [];
  let findings: GpuResults['audit'];
  let engine: EngineProcess | undefined;
  let torch = options.torch ? undefined : 'no python3 with torch and CUDA';
  let adapter: AdapterDescription | undefined;

  const result = (): BenchmarkResult => {
    const peak = peakOf(adapter!.name, ceilingsOf(samples)?.flops);
    return {
      format: 1,
      machine: describeMachine(adapter!),
      skipped: [],
      samples,
      steps: [],
      summary: summarise(samples),
      bars: [],
      gpu: {
        ...(findings && { audit: findings }),
        parts: states,
        unfinished: names.slice(states.length),
        seconds: elapsed(),
        torch: torch ?? `PyTorch ${engine?.info.version}, ${engine?.info.device}`,
        ...(peak && { peak }),
        rows,
      },
    };
  };

  /**
   * Runs a part on a device of its own, since what one part breaks or holds is not the next one's. `run` returns why it
   * failed, where it did.
   */
  const runPart = async (name: string, run: (device: Device) => Promise<string | undefined>) => {
    const before = elapsed();
    if (adapter && before > limitSeconds) {
      states.push({ name, seconds: 0, state: 'skipped', reason: `${limitSeconds} s were over` });
      return;
    }
    onProgress?.(states.length, names.length, name);
    const end = (reason?: string) => {
      const took = { name, seconds: elapsed() - before };
      states.push(reason === undefined ? { ...took, state: 'done' } : { ...took, state: 'failed', reason });
    };
    try {
      const device = await openDevice({ adapter: options.adapter });
      if (!adapter) options.onAdapter?.(device.adapter);
      adapter = device.adapter;
      try {
        end(await run(device));
      } finally {
        device.close();
      }
    } catch (error) {
      if (!adapter) throw error;
      end(messageOf(error));
    }
    onPart(result());
  };

  try {
    await runPart('correctness', async device => {
      const found = await audit([device], { quick: true, names: sizes.audited ?? [] });
      const { passed, failed, checks } = found.report;
      findings = { passed, failed, of: sizes.audited ?? ['every kernel', 'the gradients of a model'] };
      onAudit(found);
      const wrong = checks.filter(check => !check.passed).map(({ kernel, variant }) => `${kernel} (${variant})`);
      return failed > 0 ? `${failed} checks failed: ${[...new Set(wrong)].join(', ')}` : undefined;
    });
    await runPart('ceilings', async device => {
      const works = [await fmaCeiling(device), await copyCeiling(device)];
      samples.push(...(await measure(works, { rounds, seconds })));
      return undefined;
    });
    if (options.torch) {
      engine = await EngineProcess.start(options.torch).catch((error: unknown) => {
        torch = `does not start: ${messageOf(error)}`;
        return undefined;
      });
    }
    for (const part of parts) {
      await runPart(part.name, async device => {
        const mayTune = elapsed() < (2 * limitSeconds) / 3;
        const tuneSeconds = mayTune ? options.tuneSeconds : 0;
        const measured = await measurePart(device, part, engine, { ...options, tuneSeconds });
        rows.push(...measured.rows);
        samples.push(...measured.samples);
        return measured.wrong.length > 0 ? measured.wrong.join('; ') : undefined;
      });
    }
    return result();
  } finally {
    engine?.close();
  }
}

interface Running {
  readonly row: Omit<GpuRow, 'wall'>;
  readonly work: Work;
}

/**
 * Makes, tunes and times the works of a part. What has no room, or PyTorch cannot do, is a row that says so; what is
 * wrong in a variant of ours is also returned.
 */
async function measurePart(
  device: Device,
  { works }: Part,
  engine: EngineProcess | undefined,
  options: GpuOptions,
): Promise<{ readonly rows: GpuRow[]; readonly samples: Samples[]; readonly wrong: string[] }> {
  const running: Running[] = [];
  const rows: GpuRow[] = [];
  const wrong: string[] = [];
  const refuse = (work: string, who: string, error: unknown) => {
    device.check(); // a lost device fails all that comes after
    const isOurs = who === SHIPPED || who === TUNED;
    if (isOurs && !(error instanceof UserError)) wrong.push(`${who}: ${messageOf(error)}`);
    rows.push({ work, engine: who, wall: [], refused: messageOf(error) });
  };
  try {
    const requests = new Map<string, KernelRequest>();
    const shipped = new Map<string, { readonly work: Work; readonly keys: readonly string[] }>();
    for (const { name, make } of works) {
      const table = new VariantTable(device.adapter);
      try {
        const work = await make(device, table);
        running.push({ row: rowOf(name, SHIPPED, work), work });
        shipped.set(name, { work, keys: [...table.requests.keys()] });
        for (const [key, request] of table.requests) requests.set(key, request);
      } catch (error) {
        refuse(name, SHIPPED, error);
      }
    }
    const tuned =
      options.tuneSeconds > 0 ? await tune(device, requests.values(), { seconds: options.tuneSeconds }) : [];
    const changed = tuned.filter(({ winner, shipped }) => !sameVariant(winner, shipped));
    for (const { name, make, peers } of works) {
      const made = shipped.get(name);
      if (made?.keys.some(key => changed.some(({ request }) => request.key === key))) {
        try {
          const work = await make(device, new VariantTable(device.adapter, choicesOf(changed)));
          running.push({ row: rowOf(name, TUNED, work), work });
        } catch (error) {
          refuse(name, TUNED, error);
        }
      }
      for (const [peer, task] of Object.entries(engine && made ? peers : {})) {
        try {
          const work = await peerWork(engine!, task, describeWork(made!.work));
          running.push({ row: rowOf(name, peer, { ...made!.work, ...work }), work });
        } catch (error) {
          refuse(name, peer, error);
        }
      }
    }
    const measured = await measure(
      running.map(({ work }) => work),
      { rounds: options.rounds, seconds: options.seconds },
    );
    running.forEach(({ row }, i) => {
      const { wall, gpu } = measured[i]!;
      rows.push({ ...row, wall, ...(gpu.length > 0 && { gpuMilliseconds: median(gpu) }) });
    });
    const ours = measured.filter((_, i) => running[i]!.row.engine === SHIPPED);
    return { rows, samples: ours, wrong };
  } finally {
    for (const { work } of running) work.destroy();
    await engine?.dispose().catch(() => {});
  }
}

function rowOf(
  work: string,
  engine: string,
  made: Work & { tokens?: number; peakBytes?: number; costs?: { peakBytes: number } },
) {
  const { precision, flops, bytes, rate, check, tokens } = made;
  const peakBytes = made.peakBytes ?? made.costs?.peakBytes;
  return {
    work,
    engine,
    precision,
    flops,
    bytes,
    rate,
    check,
    ...(tokens && { tokens }),
    ...(peakBytes && { peakBytes }),
  };
}
