/** A short measurement of how fast this machine trains, for a plan's wall-clock. */
import { measure, median } from '../../bench/measure.js';
import { stepWork } from '../../bench/step.js';
import { openDevice, presetSize } from '../index.js';

const PRESET = 'small';
const VOCABULARY = 4096;
const SHAPE = { B: 8, T: 128 };

export interface MeasuredSpeed {
  readonly adapter: string;
  readonly driver: string;
  /** Of the model measured. */
  readonly parameters: number;
  readonly tokensPerSecond: number;
  /** 6 · parameters · tokens per second. */
  readonly flopsPerSecond: number;
}

/** Trains the preset 'small' on random tokens for a few seconds; the median step counts. */
export async function measureSpeed(adapter: string | undefined): Promise<MeasuredSpeed> {
  const device = await openDevice({ adapter });
  try {
    const size = presetSize(PRESET);
    const work = await stepWork(
      device,
      {
        ...size,
        vocabSize: VOCABULARY,
        numKeyValueHeads: size.numAttentionHeads,
        headDim: size.hiddenSize / size.numAttentionHeads,
        rmsNormEps: 1e-5,
        ropeTheta: 10000,
        tieWordEmbeddings: true,
        maxPositionEmbeddings: SHAPE.T,
      },
      SHAPE,
    );
    try {
      const [samples] = await measure([work], { rounds: 3, seconds: 1 });
      const tokensPerSecond = (1000 * work.tokens) / median(samples!.wall);
      const { parameters } = work;
      const { name, driver } = device.adapter;
      return { adapter: name, driver, parameters, tokensPerSecond, flopsPerSecond: 6 * parameters * tokensPerSecond };
    } finally {
      work.destroy();
    }
  } finally {
    device.close();
  }
}
