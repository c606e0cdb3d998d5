/** Training steps of growing width and of growing context: what a FLOP costs, and what memory does. */
import type { Device } from '../../src/gpu/device.js';
import { modelConfig, type StepWork, stepWork } from './step.js';

const WIDTHS = [64, 128, 256, 512];
const CONTEXTS = [128, 256, 512, 1024, 2048];
const LAYERS = 4;
const VOCABULARY = 512;

/** Heads of 32, and the MLP of the reference presets' proportion. */
const sizeOf = (hiddenSize: number) => ({
  hiddenSize,
  intermediateSize: 8 * Math.ceil((hiddenSize * 8) / 3 / 8),
  numHiddenLayers: LAYERS,
  numAttentionHeads: hiddenSize / 32,
});

/** Widths at B 8, T 128; contexts at hidden 128, B 2. */
export function scalingWorks(): ((device: Device) => Promise<StepWork>)[] {
  const step = (hidden: number, B: number, T: number, kind: string, name: string) => (device: Device) =>
    stepWork(device, modelConfig(sizeOf(hidden), VOCABULARY, false, T), { B, T }, { kind, name });
  return [
    ...WIDTHS.map(hidden => step(hidden, 8, 128, 'scaling width', `step hidden ${hidden}`)),
    ...CONTEXTS.map(T => step(128, 2, T, 'scaling context', `step context ${T}`)),
  ];
}
