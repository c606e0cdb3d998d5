/** Norms and biases as trained models have them: initial ones are all 1 or 0, of which much could go unseen. */
import type { Model } from '../../src/index.js';
import { Random } from '../../src/random.js';

/** Adds random numbers to a model's norms and biases. */
export async function disturbVectors(model: Model): Promise<void> {
  for (const { name, shape } of model.specs) {
    if (shape.length > 1) continue;
    const random = new Random(1, name);
    const values = (await model.read(name)).map(value => value + 0.3 * random.normal());
    model.writePart(name, group => model.weight(group), values);
  }
}
