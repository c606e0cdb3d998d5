/** The model that a user describes: from some fields to its whole configuration. */
import { UserError } from '../errors.js';
import { type ModelConfig, validateModelConfig } from './config.js';
import { presetSize } from './presets.js';

/**
 * The fields of a model: a preset with a vocabulary, or a shape. Given fields win over the preset; a field that neither
 * gives takes its default.
 */
export interface ModelFields extends Partial<ModelConfig> {
  /** A named size, one of `presetNames`: width, MLP width, layers and heads. */
  readonly preset?: string | undefined;
  readonly vocabSize: number;
}

/**
 * Fills in the fields that are not given: as many key/value heads as heads, heads of hiddenSize / numAttentionHeads,
 * `rmsNormEps` 1e-5, `ropeTheta` 10,000, one matrix for embedding and head, 2048 positions.
 * @throws UserError when there is no such preset, or the fields don't make a model.
 * @example
 * import { countParameters, modelConfig } from 'babelgrad';
 *
 * const config = modelConfig({ preset: '125M', vocabSize: 32_000, tieWordEmbeddings: false });
 * console.log(countParameters(config).total);
 */
export function modelConfig(fields: ModelFields): ModelConfig {
  const { preset, ...given } = fields;
  const named = preset === undefined ? undefined : presetSize(preset);
  const need = (field: 'hiddenSize' | 'intermediateSize' | 'numHiddenLayers' | 'numAttentionHeads') => {
    const value = given[field] ?? named?.[field];
    if (value === undefined) throw new UserError(`the model has no ${field}; give it, or a preset`);
    return value;
  };
  const hiddenSize = need('hiddenSize');
  const numAttentionHeads = need('numAttentionHeads');
  if (given.headDim === undefined && hiddenSize % numAttentionHeads !== 0) {
    throw new UserError(
      `numAttentionHeads ${numAttentionHeads} does not divide hiddenSize ${hiddenSize}; give headDim`,
    );
  }
  return validateModelConfig({
    ...given,
    hiddenSize,
    intermediateSize: need('intermediateSize'),
    numHiddenLayers: need('numHiddenLayers'),
    numAttentionHeads,
    numKeyValueHeads: given.numKeyValueHeads ?? numAttentionHeads,
    headDim: given.headDim ?? hiddenSize / numAttentionHeads,
    rmsNormEps: given.rmsNormEps ?? 1e-5,
    ropeTheta: given.ropeTheta ?? 10_000,
    tieWordEmbeddings: given.tieWordEmbeddings ?? true,
    maxPositionEmbeddings: given.maxPositionEmbeddings ?? 2048,
  });
}
