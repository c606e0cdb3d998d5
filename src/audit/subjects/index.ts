/** Every kernel, and where its problems come from. */
import type { Subject } from '../problem.js';
import { embeddingProblems, ropeProblems, swigluProblems } from './activations.js';
import { attentionProblems } from './attention.js';
import { biasProblems } from './bias.js';
import { branchProblems } from './branches.js';
import { cacheProblems } from './cache.js';
import { headNormProblems } from './head-norm.js';
import { healthProblems } from './health.js';
import { crossEntropyProblems, sumProblems } from './loss.js';
import { matmulProblems } from './matmul.js';
import { matmulSwigluProblems } from './matmul-swiglu.js';
import { rmsnormProblems } from './rmsnorm.js';
import { adamwProblems, elementProblems, gradientNormProblems } from './update.js';

/** A name for several kernels, their own names, and their problems. */
export interface Family {
  readonly name: string;
  readonly kernels: readonly string[];
  readonly problems: Subject;
}

export const FAMILIES: readonly Family[] = [
  { name: 'matmul', kernels: ['matmul'], problems: matmulProblems },
  { name: 'matmul_swiglu', kernels: ['matmul_swiglu'], problems: matmulSwigluProblems },
  {
    name: 'attention',
    kernels: ['attention_forward', 'attention_backward_query', 'attention_backward_key_value'],
    problems: attentionProblems,
  },
  { name: 'branches', kernels: ['attention_forward'], problems: branchProblems },
  { name: 'cache', kernels: ['cache_write', 'attention_cached'], problems: cacheProblems },
  {
    name: 'rmsnorm',
    kernels: ['rmsnorm_forward', 'rmsnorm_backward'],
    problems: rmsnormProblems,
  },
  { name: 'head_norm', kernels: ['head_norm_forward', 'head_norm_backward'], problems: headNormProblems },
  { name: 'bias', kernels: ['add_bias', 'sum_rows'], problems: biasProblems },
  { name: 'swiglu', kernels: ['swiglu_forward', 'swiglu_backward'], problems: swigluProblems },
  { name: 'rope', kernels: ['rope'], problems: ropeProblems },
  { name: 'embedding', kernels: ['embedding_forward', 'embedding_backward'], problems: embeddingProblems },
  { name: 'cross_entropy', kernels: ['cross_entropy'], problems: crossEntropyProblems },
  { name: 'sum', kernels: ['sum'], problems: sumProblems },
  { name: 'elementwise', kernels: ['add', 'cast'], problems: elementProblems },
  { name: 'gradient_norm', kernels: ['gradient_norm_partial', 'gradient_norm'], problems: gradientNormProblems },
  { name: 'adamw', kernels: ['adamw'], problems: adamwProblems },
  { name: 'tensor_health', kernels: ['tensor_health'], problems: healthProblems },
];
