/** Named model sizes: those of the reference study, and small ones that a CPU can train. */
import { UserError } from '../errors.js';
import { ownValue } from '../own.js';

/** The sizes that a preset fixes; the vocabulary comes from the tokenizer. */
export interface ModelSize {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
}

/** Sizes for a CPU or a quick try: [hidden size, MLP width, layers, heads]. */
const SMALL: Readonly<Record<string, readonly [number, number, number, number]>> = {
  tiny: [64, 176, 2, 4],
  mini: [96, 256, 3, 4],
  small: [128, 344, 4, 4],
  medium: [256, 688, 6, 8],
  large: [384, 1024, 8, 8],
};

/**
 * The 42 sizes of "Breaking Language Barriers" (Zheng et al., 2024, arXiv 2407.02118), by their nominal size in
 * millions: [hidden size, layers, heads]. The paper's table prints the width of gate and up together,
 * 2·256·(⌊(8h/3)/256⌋ + 1); the MLP width is half of that. Its 4016M row prints 22 heads, which do not divide 2688; 21
 * do.
 */
const REFERENCE: Readonly<Record<string, readonly [number, number, number]>> = {
  '49M': [512, 8, 8],
  '66M': [576, 9, 9],
  '86M': [640, 10, 10],
  '105M': [640, 13, 10],
  '125M': [640, 16, 10],
  '137M': [768, 12, 12],
  '166M': [768, 15, 12],
  '194M': [768, 18, 12],
  '208M': [896, 14, 14],
  '234M': [896, 16, 14],
  '259M': [896, 18, 14],
  '301M': [1024, 16, 16],
  '334M': [1024, 18, 16],
  '368M': [1024, 20, 16],
  '512M': [1280, 18, 10],
  '591M': [1280, 21, 10],
  '616M': [1408, 18, 11],
  '670M': [1280, 24, 10],
  '711M': [1408, 21, 11],
  '766M': [1536, 19, 12],
  '806M': [1408, 24, 11],
  '879M': [1536, 22, 12],
  '992M': [1536, 25, 12],
  '1085M': [1792, 20, 14],
  '1239M': [1792, 23, 14],
  '1393M': [1792, 26, 14],
  '1542M': [2048, 22, 16],
  '1736M': [2176, 22, 17],
  '1743M': [2048, 25, 16],
  '1944M': [2048, 28, 16],
  '1963M': [2176, 25, 17],
  '2112M': [2304, 24, 18],
  '2191M': [2176, 28, 17],
  '2452M': [2304, 28, 18],
  '2791M': [2304, 32, 18],
  '2808M': [2560, 26, 20],
  '3227M': [2560, 30, 20],
  '3647M': [2560, 34, 20],
  '4016M': [2688, 34, 21],
  '4248M': [2688, 36, 21],
  '4657M': [2816, 36, 22],
  '5534M': [3072, 36, 24],
};

export const presetNames: readonly string[] = [...Object.keys(SMALL), ...Object.keys(REFERENCE)];

/** Returns the sizes of a preset. @throws UserError listing the names when there is no such preset. */
export function presetSize(name: string): ModelSize {
  const small = ownValue(SMALL, name);
  if (small) {
    const [hiddenSize, intermediateSize, numHiddenLayers, numAttentionHeads] = small;
    return { hiddenSize, intermediateSize, numHiddenLayers, numAttentionHeads };
  }
  const reference = ownValue(REFERENCE, name);
  if (!reference) throw new UserError(`no model preset '${name}'; there are ${presetNames.join(', ')}`);
  const [hiddenSize, numHiddenLayers, numAttentionHeads] = reference;
  const intermediateSize = 256 * (Math.floor(Math.floor((8 * hiddenSize) / 3) / 256) + 1);
  return { hiddenSize, intermediateSize, numHiddenLayers, numAttentionHeads };
}
