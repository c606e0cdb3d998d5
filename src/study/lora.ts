/** LoRA in a study: the ranks of its adapters, and a learning rate of its own. */
import { z } from 'zod';
import { loraSchema } from '../model/lora.js';

/** Each rank is a run. Targets of a study are languages: the matrices that have an adapter are `projections` here. */
export const loraFields = {
  ranks: z.array(loraSchema.shape.rank).min(1),
  alpha: loraSchema.shape.alpha,
  projections: loraSchema.shape.targets,
  learningRate: z.number().positive(),
};

/** The fields of a run that make it one of adapters. */
export interface LoraArm {
  readonly lora: z.infer<typeof loraSchema>;
  readonly learningRate: number;
}

/** Returns the run of each rank of an entry. */
export const armsOf = ({ ranks, alpha, projections, learningRate }: z.infer<z.ZodObject<typeof loraFields>>) =>
  ranks.map(
    (rank): LoraArm => ({
      lora: { rank, ...(alpha !== undefined && { alpha }), ...(projections && { targets: projections }) },
      learningRate,
    }),
  );
