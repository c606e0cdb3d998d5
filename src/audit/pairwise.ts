/** Pairwise coverage: a few of many combinations, in which everything that two factors do together still happens. */

/**
 * Returns a few of all combinations: `first`, and as many more, chosen greedily, as it takes for every pair of values
 * that any combination has to be in one of them. A fault that shows where two values meet is found as by all
 * combinations; one that needs three values to meet may not be.
 * @param factorsOf the value of each factor, in one order.
 */
export function pairwise<T>(
  all: readonly T[],
  factorsOf: (combination: T) => readonly (string | number)[],
  first: readonly T[] = [],
): T[] {
  const pairsOf = (combination: T): string[] => {
    const factors = factorsOf(combination);
    return factors.flatMap((a, i) => factors.slice(i + 1).map((b, j) => `${i} ${a}, ${i + 1 + j} ${b}`));
  };
  const left = all.map(combination => ({ combination, pairs: pairsOf(combination) }));
  const met = new Set(first.flatMap(pairsOf));
  const chosen = [...first];
  for (;;) {
    const news = left.map(({ pairs }) => pairs.filter(pair => !met.has(pair)).length);
    const most = news.reduce((best, count, i) => (count > (news[best] ?? 0) ? i : best), -1);
    if (most < 0) return chosen;
    chosen.push(left[most]!.combination);
    for (const pair of left[most]!.pairs) met.add(pair);
  }
}
