/** Every kernel, and where its problems come from. */
import { byElementsAndVectors, inVariants, rowVariants, type Subject, tunedElements, tunedRows } from '../problem.js';
import {
  attentionProblems,
  branchProblems,
  cacheProblems,
  cappedProblems,
  documentProblems,
  windowProblems,
} from './attention.js';
import { matmulProblems, matmulSwigluProblems } from './matmul.js';
import { fewRowsProblems, fewRowsSwigluProblems } from './matmul-rows.js';
import * as rows from './rows.js';
import * as update from './update.js';

/** A name for several kernels, their own names, and their problems. */
export interface Family {
  readonly name: string;
  readonly kernels: readonly string[];
  readonly problems: Subject;
}

const family = (name: string, kernels: readonly string[], problems: Subject): Family => ({ name, kernels, problems });
/** Both passes of an op. */
const passes = (name: string): string[] => [`${name}_forward`, `${name}_backward`];

export const FAMILIES: readonly Family[] = [
  family('matmul', ['matmul'], matmulProblems),
  family('matmul_swiglu', ['matmul_swiglu'], matmulSwigluProblems),
  family('matmul_rows', ['matmul'], fewRowsProblems),
  family('matmul_rows_swiglu', ['matmul_swiglu'], fewRowsSwigluProblems),
  family(
    'attention',
    ['attention_forward', 'attention_backward_query', 'attention_backward_key_value'],
    attentionProblems,
  ),
  family(
    'documents',
    ['attention_forward', 'attention_backward_query', 'attention_backward_key_value'],
    documentProblems,
  ),
  family('windows', ['attention_forward', 'attention_backward_query', 'attention_backward_key_value'], windowProblems),
  family(
    'capped scores',
    ['attention_forward', 'attention_backward_query', 'attention_backward_key_value'],
    cappedProblems,
  ),
  family('branches', ['attention_forward'], branchProblems),
  family('cache', ['cache_write', 'attention_cached'], cacheProblems),
  family('rmsnorm', passes('rmsnorm'), inVariants(tunedRows, rows.rmsnormCases)),
  family('head_norm', passes('head_norm'), inVariants(rowVariants, rows.headNormCases)),
  family('bias', ['add_bias', 'sum_rows'], inVariants(rowVariants, rows.biasCases)),
  family('swiglu', passes('swiglu'), inVariants(rowVariants, rows.swigluCases)),
  family('rope', ['rope'], inVariants(byElementsAndVectors, rows.ropeCases)),
  family('embedding', passes('embedding'), inVariants(rowVariants, rows.embeddingCases)),
  family('cross_entropy', ['cross_entropy'], inVariants(tunedRows, rows.crossEntropyCases)),
  family('hits', ['cross_entropy'], inVariants(tunedRows, rows.hitsCases)),
  family('sum', ['sum'], inVariants(rowVariants, rows.sumCases)),
  family('elementwise', ['add', 'cast', 'soft_cap'], inVariants(byElementsAndVectors, update.elementCases)),
  family(
    'gradient_norm',
    ['gradient_norm_partial', 'gradient_norm'],
    inVariants(rowVariants, update.gradientNormCases),
  ),
  family('adamw', ['adamw'], inVariants(tunedElements, update.adamwCases)),
  family(
    'weight_average',
    ['weight_average', 'weight_average_swap'],
    inVariants(byElementsAndVectors, update.weightAverageCases),
  ),
  family('adamw_8bit', ['adamw_8bit'], inVariants(rowVariants, update.adamw8bitCases)),
  family('tensor_health', ['tensor_health'], inVariants(rowVariants, update.healthCases)),
];
