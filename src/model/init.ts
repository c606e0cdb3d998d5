/** Initial weights. */
import { Random } from '../random.js';
import type { ModelConfig } from './config.js';
import type { ParameterSpec } from './parameters.js';

/** The standard deviation of the initial weights, as in LLaMA (`initializer_range`). */
const DEVIATION = 0.02;

/**
 * Returns the initial weights of each parameter. They are normal with deviation 0.02; norms are 1, or 0 where they
 * multiply by 1 + weight, biases 0. The projections that write into the residual stream are scaled down by
 * 1/sqrt(2·layers), so that its variance does not grow with depth (Radford et al., 2019). Every parameter has a random
 * stream of its own, by name.
 */
export function initialWeights(config: ModelConfig, seed: number): (spec: ParameterSpec) => Float32Array {
  return ({ name, shape }) => {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    if (shape.length === 1) return name.endsWith('.bias') || config.normUnitOffset ? values : values.fill(1);
    const writesResidual = name.endsWith('o_proj.weight') || name.endsWith('down_proj.weight');
    const deviation = writesResidual ? DEVIATION / Math.sqrt(2 * config.numHiddenLayers) : DEVIATION;
    const random = new Random(seed, 'weights', name);
    for (let i = 0; i < values.length; i++) values[i] = deviation * random.normal();
    return values;
  };
}
