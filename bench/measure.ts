/**
 * Interleaved measurement: rounds over all works, so that a slow spell of a shared machine meets each of them. Wall
 * times come from the `benchmark` package, GPU times from timestamps.
 */
import Benchmark from 'benchmark';
import { messageOf } from '../src/errors.js';
import { median } from '../src/median.js';
import { describeWork, type Work, type WorkInfo } from './work.js';

export interface Samples extends WorkInfo {
  /** Milliseconds of one time, submission and waiting included. */
  readonly wall: number[];
  /** Milliseconds of one time on the GPU; none where the adapter has no timestamps. */
  readonly gpu: number[];
  /** Wall milliseconds of the runs that `gpu` is from: they carry the timestamps too. */
  readonly gpuWall: number[];
}

export interface MeasureOptions {
  readonly rounds: number;
  /** Seconds for each work in each round, about: at least one sample is taken. */
  readonly seconds: number;
  readonly onProgress?: (done: number, work: string) => void;
}

/** Samples of every work. One run of each comes first and counts for nothing: it finds pages and caches cold. */
export async function measure(works: readonly Work[], options: MeasureOptions): Promise<Samples[]> {
  const samples = works.map((work): Samples => ({ ...describeWork(work), wall: [], gpu: [], gpuWall: [] }));
  for (const work of works) await work.run();
  let done = 0;
  for (let round = 0; round < options.rounds; round++) {
    for (const [i, work] of works.entries()) {
      samples[i]!.wall.push(...(await wallTimes(work, options.seconds)));
      if (work.gpuTime) {
        const started = performance.now();
        samples[i]!.gpu.push(await work.gpuTime());
        samples[i]!.gpuWall.push((performance.now() - started) / work.perRun);
      }
      options.onProgress?.(++done, work.name);
    }
  }
  return samples;
}

/** Wall milliseconds of one time: as many samples as `seconds` allow, at least one. */
export function wallTimes(work: Pick<Work, 'name' | 'run' | 'perRun' | 'samples'>, seconds: number): Promise<number[]> {
  if (work.samples) return work.samples(seconds);
  return new Promise((resolve, reject) => {
    new Benchmark(work.name, {
      defer: true,
      maxTime: seconds,
      minSamples: 1,
      fn(deferred: { resolve(): void }) {
        work.run().then(() => deferred.resolve(), reject);
      },
      onComplete(this: Benchmark) {
        resolve(this.stats.sample.map(time => (1000 * time) / work.perRun));
      },
      onError(this: Benchmark) {
        reject(new Error(`${work.name}: ${messageOf((this as unknown as { error: unknown }).error)}`));
      },
    }).run({ async: true });
  });
}

/** The value below which a share `q` of the values lies, interpolated between neighbours. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = q * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (place - below) * (sorted[above]! - sorted[below]!);
}

/** Median, quartiles and their distance as a share of the median. */
export function spreadOf(values: readonly number[]): { median: number; low: number; high: number; iqr: number } {
  const [low, middle, high] = [quantile(values, 0.25), median(values), quantile(values, 0.75)];
  return { median: middle, low, high, iqr: (high - low) / middle };
}
