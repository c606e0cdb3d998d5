/** Variants as they are kept in files. */
import { z } from 'zod';
import { byKind, type Kind, type VariantChoices, type VariantOf } from '../kernels/variants.js';
import { TUNED } from './kinds/index.js';

type Choices = { [K in Kind]: z.ZodDefault<z.ZodRecord<z.ZodString, z.ZodType<VariantOf[K]>>> };

/**
 * The variants of a run. Runs from before a kind had variants took the shipped ones, as they do where none is recorded.
 */
export const choicesSchema = z.object(
  byKind(kind => z.record(z.string(), TUNED[kind].variantSchema).default({})) as Choices,
) satisfies z.ZodType<VariantChoices>;
