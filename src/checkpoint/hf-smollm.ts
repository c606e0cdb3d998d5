/** What the config.json of a SmolLM3 has beside a LLaMA's: layers without rotary embedding. */
import { z } from 'zod';
import { isRotated, type ModelConfig } from '../model/config.js';
import { intervalOf, parse, refuse } from './hf-json.js';

/** transformers' default where there is no list of layers. */
const INTERVAL = 4;

const smollmSchema = z.looseObject({
  num_hidden_layers: z.int().positive(),
  /** 1 for each layer that has rotary embedding, 0 for each that has none. */
  no_rope_layers: z.array(z.union([z.literal(0), z.literal(1)], { error: 'must be 0 or 1' })).nullish(),
  no_rope_layer_interval: z.int().positive().default(INTERVAL),
});

/**
 * Reads which layers have no rotary embedding.
 * @throws UserError naming the field when it is mistyped, or the layers are not each of some number.
 */
export function readSmollm(path: string, json: Record<string, unknown>): Pick<ModelConfig, 'nopeLayerInterval'> {
  const c = parse(path, smollmSchema, json);
  const { num_hidden_layers: layers, no_rope_layers: list, no_rope_layer_interval: given } = c;
  if (!list) return given > layers ? {} : { nopeLayerInterval: given };
  if (list.length < layers) {
    refuse(path, 'no_rope_layers', list, `there are ${list.length} of them, and ${layers} layers`);
  }
  const interval = intervalOf(
    path,
    'no_rope_layers',
    list.slice(0, layers),
    0,
    n => `only every ${n}th layer can be without rotary embedding where the first is number ${n}`,
  );
  return interval === undefined ? {} : { nopeLayerInterval: interval };
}

/** Returns the fields of a config.json that are SmolLM3's. */
export const smollmConfig = (c: ModelConfig): Record<string, unknown> => ({
  no_rope_layers: Array.from({ length: c.numHiddenLayers }, (_, layer) => Number(isRotated(c, layer))),
  no_rope_layer_interval: c.nopeLayerInterval,
});
