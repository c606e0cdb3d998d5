/** Laws from papers, under the names that `plan --law` knows. */
import { type ComputeLine, computeOfLoss, lossOfCompute } from './compute-line.js';
import type { PlannedLaw } from './plan.js';

const PAPER = 'Zheng et al. 2024 (arXiv 2407.02118)';
const scratch = { E: 1.55, A: 420, B: 719.5, alpha: 0.4, beta: 0.3, gamma: 0 };
const cpt = { E: 1.55, A: 420, B: 433.3, alpha: 0.4, beta: 0.2, gamma: 0.08 };

/** The paper's range: nominal sizes of 49M to 5,534M parameters, up to 20 tokens per parameter. */
const paperRange = {
  parameters: [49e6, 5534e6],
  tokens: [0, 20 * 5534e6],
  tokensPerParameter: [0, 20],
} as const;

const ROUNDED =
  `the paper's laws have the parameters that ${PAPER} prints, two digits of each exponent: ` +
  'results carry that rounding, ' +
  'and there are no intervals';

const laws: readonly PlannedLaw[] = [
  {
    name: 'paper-scratch',
    strategy: 'scratch',
    parameters: scratch,
    samples: [],
    range: paperRange,
    caveats: [ROUNDED],
  },
  {
    name: 'paper-cpt',
    strategy: 'cpt',
    parameters: cpt,
    samples: [],
    range: paperRange,
    caveats: [
      ROUNDED,
      "'paper-cpt' contradicts the paper's own finding that CPT saves 25-50% of the FLOPs: " +
        'as printed it beats scratch ' +
        'only below 159.4·N^0.8 tokens (4.6 a parameter at 50M, 1.8 at 5.5B), ' +
        'so that what it "saves" at 20 tokens per ' +
        'parameter is negative at every size; rounding alone does not explain it',
    ],
  },
  {
    name: 'paper-cpt-consistent',
    strategy: 'cpt',
    parameters: { ...cpt, B: 311.23 },
    samples: [],
    range: paperRange,
    caveats: [
      ROUNDED,
      "'paper-cpt-consistent' is inferred, not printed: 'paper-cpt' with B 311.23 in place of 433.3, " +
        "which makes the paper's " +
        'example exact (at 5.5B, 70B tokens of CPT equal 110B from scratch)',
    ],
  },
  {
    name: 'chinchilla',
    strategy: 'scratch',
    parameters: { E: 1.69, A: 406.4, B: 410.7, alpha: 0.34, beta: 0.28, gamma: 0 },
    samples: [],
    range: { parameters: [70e6, 16e9], tokens: [5e9, 500e9] },
    caveats: [
      "'chinchilla' has the rounded parameters of Hoffmann et al. 2022 (arXiv 2203.15556, approach 3); " +
        'Besiroglu et al. 2024 ' +
        '(arXiv 2404.10102) find that they fit the runs poorly, and E 1.8172, A 482.01, B 2085.43, alpha 0.3478, ' +
        'beta 0.3658',
    ],
  },
];

export const publishedLaws: ReadonlyMap<string, PlannedLaw> = new Map(laws.map(law => [law.name, law]));

/** The laws that a plan by one of the paper's laws shows beside it. */
export const paperLaws = ['paper-scratch', 'paper-cpt', 'paper-cpt-consistent'] as const;

/** The paper's loss against compute alone, which carries its finding. */
export const paperComputeLines: Readonly<Record<'scratch' | 'cpt', ComputeLine>> = {
  scratch: { k: 33.69907, c: 0.0579 },
  cpt: { k: 31.9594, c: 0.0575 },
};

/** Returns the paper's loss at C FLOPs by those lines, and the FLOPs that CPT saves at the loss of scratch. */
export function paperLinesAt(C: number) {
  const { scratch, cpt } = paperComputeLines;
  const [scratchLoss, cptLoss] = [lossOfCompute(scratch, C), lossOfCompute(cpt, C)];
  return { scratchLoss, cptLoss, flopsSaved: 1 - computeOfLoss(cpt, scratchLoss) / C };
}
