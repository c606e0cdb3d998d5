/** The golden model: float64 PyTorch, stored as float32 (test/fixtures/llama_mha_untied). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readTensors } from './safetensors.js';

export const goldenFolder = fileURLToPath(new URL('../fixtures/llama_mha_untied/', import.meta.url));

interface Golden {
  /** [step][batch][T+1] */
  readonly tokens: number[][][];
  readonly losses: number[];
  readonly gradient_norms_before_clipping: number[];
}

export const golden = JSON.parse(readFileSync(join(goldenFolder, 'golden.json'), 'utf8')) as Golden;
export const goldenTensors = (name: string) => readTensors(join(goldenFolder, `${name}.safetensors`));
export const [B, T] = [2, 64];
export const optimizer = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };
export const learningRate = 1e-3;
export const sequences = (step: number): Uint32Array => Uint32Array.from(golden.tokens[step]!.flat());

export const goldenShape = {
  vocabSize: 256,
  hiddenSize: 64,
  intermediateSize: 176,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  numKeyValueHeads: 4,
  headDim: 16,
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  tieWordEmbeddings: false,
  maxPositionEmbeddings: 2048,
};
