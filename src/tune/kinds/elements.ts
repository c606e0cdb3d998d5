/** AdamW, which takes a tensor by elements, to be tuned. */
import { z } from 'zod';
import { adamwCase } from '../../cases/adamw.js';
import { defaultLanes } from '../../kernels/lanes.js';
import type { StoredType } from '../../numerics/inputs.js';
import { countSchema, isSoftware, oddSize, product, type TunedKind, typeSchema, vectorSchema } from '../kind.js';

export const elements: TunedKind<'elements'> = {
  requestSchema: z.object({
    kernel: z.literal('adamw'),
    count: countSchema,
    type: typeSchema,
    gradient: typeSchema.default('f32'), // all that was tuned before gradients could be anything else
  }),
  variantSchema: z.strictObject({ workgroup: countSchema, each: countSchema, vector: vectorSchema }),

  variants: adapter =>
    isSoftware(adapter)
      ? product({ workgroup: [Math.max(4, defaultLanes(adapter)), 64], each: [4, 16, 64], vector: [1, 4] })
      : product({ workgroup: [64, 128, 256], each: [1, 2, 4], vector: [1, 4] }),

  needs: (_, { workgroup, vector }) => ({ threads: workgroup, workgroupBytes: 0, sums: vector, unrolled: vector }),

  caseOf: ({ count, type, gradient }) =>
    adamwCase({ count, isHalf: type === 'f16', gradientType: gradient as StoredType }),

  small: request => ({ ...request, count: oddSize(request.count, 20_000) }),
};
