/** Variants as they are kept in files. */
import { z } from 'zod';
import type { VariantChoices } from '../kernels/variants.js';

const count = z.int().positive();
const matrix = z.tuple([count, count, count]).readonly();

export const matmulVariantSchema = z.discriminatedUnion('kernel', [
  z.strictObject({ kernel: z.literal('subgroup'), lanes: count, groups: count, columns: count, unroll: count }),
  z.strictObject({
    kernel: z.literal('tiled'),
    threadsM: count,
    threadsN: count,
    rows: count,
    columns: count,
    depth: count,
  }),
  z.strictObject({
    kernel: z.literal('matrix'),
    lanes: count,
    matrix,
    subgroupsM: count,
    subgroupsN: count,
    rows: count,
    columns: count,
    depth: count,
  }),
]);

export const attentionVariantSchema = z.union([
  z.strictObject({ subgroups: z.boolean(), workgroup: count, own: count, rows: count }),
  z.strictObject({ lanes: count, matrix, subgroupsM: count, rows: count }),
]);

/** The elements of a load. */
const vector = count.refine((n): boolean => n === 1 || n === 4, 'must be 1 or 4');

/** The schema of a row variant; `lanes` is 0 for a variant without subgroups. */
export const rowVariantSchema = z.strictObject({ lanes: z.int().nonnegative(), workgroup: count, vector });
export const elementVariantSchema = z.strictObject({ workgroup: count, each: count, vector });

/**
 * The variants of a run. Runs from before rows and elements had variants took the shipped ones, as they do where none
 * is recorded.
 */
export const choicesSchema = z.object({
  matmul: z.record(z.string(), matmulVariantSchema),
  attention: z.record(z.string(), attentionVariantSchema),
  rows: z.record(z.string(), rowVariantSchema).default({}),
  elements: z.record(z.string(), elementVariantSchema).default({}),
}) satisfies z.ZodType<VariantChoices>;
