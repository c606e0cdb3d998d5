/** Every kernel, by the name under which it is asked for. */
import type { Subject } from '../problem.js';
import { embeddingProblems, ropeProblems, swigluProblems } from './activations.js';
import { attentionProblems } from './attention.js';
import { crossEntropyProblems, sumProblems } from './loss.js';
import { matmulProblems } from './matmul.js';
import { rmsnormProblems } from './rmsnorm.js';
import { adamwProblems, elementProblems, gradientNormProblems } from './update.js';

export const SUBJECTS: Readonly<Record<string, Subject>> = {
  matmul: matmulProblems,
  attention: attentionProblems,
  rmsnorm: rmsnormProblems,
  swiglu: swigluProblems,
  rope: ropeProblems,
  embedding: embeddingProblems,
  cross_entropy: crossEntropyProblems,
  sum: sumProblems,
  elementwise: elementProblems,
  gradient_norm: gradientNormProblems,
  adamw: adamwProblems,
};
