/** Configurations of small models. */
import type { ModelConfig } from '../../src/model/config.js';

type Sizes = 'vocabSize' | 'hiddenSize' | 'intermediateSize' | 'numAttentionHeads';

/** Two layers, as many key and value heads as heads, tied, 64 positions, unless told otherwise. */
export const smallModel = (sizes: Pick<ModelConfig, Sizes> & Partial<ModelConfig>): ModelConfig => ({
  numHiddenLayers: 2,
  numKeyValueHeads: sizes.numAttentionHeads,
  headDim: sizes.hiddenSize / sizes.numAttentionHeads,
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  tieWordEmbeddings: true,
  maxPositionEmbeddings: 64,
  ...sizes,
});
