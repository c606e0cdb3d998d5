/** The context, batch and learning rate that go with a size where the user names none. */
import type { ModelConfig } from './config.js';
import { countParameters } from './parameters.js';

export interface Recipe {
  readonly contextLength: number;
  readonly batchTokens: number;
  readonly learningRate: number;
}

/**
 * Returns the recipe for a size. From 40M parameters on it is the reference study's: context 2048, peak 2e-4, batches
 * of 1M tokens, of 2M from 1B and of 4M from 2.7B parameters on. Smaller models, which a CPU can train, get short
 * contexts, small batches and a higher rate.
 */
export const recipeFor = (config: ModelConfig): Recipe => recipeForSize(countParameters(config).total);

/** Returns the recipe for a number of parameters. */
export function recipeForSize(total: number): Recipe {
  if (total < 40e6) return { contextLength: 128, batchTokens: 2048, learningRate: total < 2e6 ? 3e-3 : 1e-3 };
  const batchTokens = 2 ** 20 * (total < 1e9 ? 1 : total < 2.7e9 ? 2 : 4);
  return { contextLength: 2048, batchTokens, learningRate: 2e-4 };
}
