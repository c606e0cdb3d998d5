/** A short measurement of how fast this machine trains, for a plan's wall-clock. */
import { median } from '../../bench/measure.js';
import { modelConfig, stepWork } from '../../bench/works/step.js';
import { openDevice, presetSize } from '../index.js';

const PRESET = 'small';
const VOCABULARY = 4096;
const SHAPE = { B: 8, T: 128 };
const MILLISECONDS = 3000;

export interface MeasuredSpeed {
  readonly adapter: string;
  readonly driver: string;
  /** Of the model measured. */
  readonly parameters: number;
  readonly tokensPerSecond: number;
  /** 6 · parameters · tokens per second. */
  readonly flopsPerSecond: number;
}

/** Trains the preset 'small' on random tokens for about three seconds; the median step counts, the first does not. */
export async function measureSpeed(adapter: string | undefined): Promise<MeasuredSpeed> {
  const device = await openDevice({ adapter });
  try {
    const work = await stepWork(device, modelConfig(presetSize(PRESET), VOCABULARY, true, SHAPE.T), SHAPE);
    try {
      await work.run();
      const times: number[] = [];
      for (const end = performance.now() + MILLISECONDS; performance.now() < end; ) {
        const started = performance.now();
        await work.run();
        times.push(performance.now() - started);
      }
      const tokensPerSecond = (1000 * work.tokens) / median(times);
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
