/** The benchmark: matrix products and a whole training step, in one interleaved run on one adapter. */
import type { Device } from '../src/gpu/device.js';
import type { MatmulForm } from '../src/kernels/matmul-variant.js';
import type { ModelConfig } from '../src/model/config.js';
import { presetSize } from '../src/model/presets.js';
import { describeMachine, type Machine } from './machine.js';
import { matmulWork } from './matmul.js';
import { type MeasureOptions, measure, median, type Samples } from './measure.js';
import { stepWork } from './step.js';
import type { Work } from './work.js';

const FORMS: readonly MatmulForm[] = ['NT', 'NN', 'TN'];
const SIZES = [256, 512, 1024];
/** The step's model: hidden 128, 4 layers, 4 heads, MLP 344. */
const STEP_PRESET = 'small';
const STEP_VOCABULARY = 4096;
const STEP_SHAPE = { B: 8, T: 128 };

export interface BenchmarkResult {
  readonly machine: Machine;
  readonly samples: readonly Samples[];
  readonly step: {
    readonly parameters: number;
    readonly tokens: number;
    readonly dispatches: number;
    readonly tokensPerSecond: number;
    readonly gflops: number;
    /** Milliseconds, medians. */
    readonly milliseconds: number;
    readonly submitMilliseconds: number;
    /** Everything but the dispatches, as a share of the step: (wall − GPU) / wall, both of the same run, timestamps included. */
    readonly hostShare: number;
  };
  /** The fastest of the matrix products, by wall time. */
  readonly bestMatmul: { readonly name: string; readonly gflops: number };
  /** The step's FLOP/s over those of the best matrix product. */
  readonly stepOverMatmul: number;
}

/** GFLOP/s at the median of these milliseconds. */
export const gflopsAt = (flops: number, milliseconds: readonly number[]): number => flops / median(milliseconds) / 1e6;

export async function runBenchmark(device: Device, options: MeasureOptions): Promise<BenchmarkResult> {
  const works: Work[] = [];
  try {
    for (const size of SIZES) for (const form of FORMS) works.push(await matmulWork(device, form, size));
    const step = await stepWork(device, stepModel(), STEP_SHAPE);
    works.push(step);
    const samples = await measure(works, options);

    const timed = samples.at(-1)!;
    const matmuls = samples.slice(0, -1).map(({ name, flops, wall }) => ({ name, gflops: gflopsAt(flops, wall) }));
    const bestMatmul = matmuls.reduce((best, matmul) => (matmul.gflops > best.gflops ? matmul : best));
    const gflops = gflopsAt(step.flops, timed.wall);
    const milliseconds = median(timed.wall);
    return {
      machine: describeMachine(device.adapter),
      samples,
      step: {
        parameters: step.parameters,
        tokens: step.tokens,
        dispatches: step.dispatches,
        tokensPerSecond: (1000 * step.tokens) / milliseconds,
        gflops,
        milliseconds,
        submitMilliseconds: median(step.submitTimes),
        hostShare: median(timed.gpu.map((gpu, i) => 1 - gpu / timed.gpuWall[i]!)),
      },
      bestMatmul,
      stepOverMatmul: gflops / bestMatmul.gflops,
    };
  } finally {
    for (const work of works) work.destroy();
  }
}

/** Number of works that a benchmark measures in each round. */
export const WORKS = FORMS.length * SIZES.length + 1;

function stepModel(): ModelConfig {
  const size = presetSize(STEP_PRESET);
  return {
    ...size,
    vocabSize: STEP_VOCABULARY,
    numKeyValueHeads: size.numAttentionHeads,
    headDim: size.hiddenSize / size.numAttentionHeads,
    rmsNormEps: 1e-5,
    ropeTheta: 10_000,
    tieWordEmbeddings: true,
    maxPositionEmbeddings: 2048,
  };
}
