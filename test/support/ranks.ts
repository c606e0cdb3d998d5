/** Ranks without processes, to test what they compute. */
import { ALONE, type RankGroup, type Summed } from '../../src/parallel/ranks.js';

/** Ranks of one process: the n-th call of one meets the n-th of all others. */
export function ranksOfOneProcess(size: number): RankGroup[] {
  const sums = meetings<ArrayBuffer, Summed>(size, all => {
    const [first, ...others] = all.map(values => new Float32Array(values));
    for (const values of others) for (let i = 0; i < values.length; i++) first![i]! += values[i]!;
    return () => ({ values: first!.slice().buffer, sentBytes: 0, ms: 0 });
  });
  const gathered = meetings<unknown, unknown[]>(size, all => () => structuredClone([...all]));
  return Array.from({ length: size }, (_, rank) => ({
    ...ALONE,
    rank,
    size,
    isLead: rank === 0,
    sum: sums(rank),
    gather: gathered(rank) as RankGroup['gather'],
  }));
}

/** Returns for each rank a function that waits for the same call of all, and answers what `meet` makes of them. */
function meetings<Given, Answer>(size: number, meet: (all: readonly Given[]) => () => Answer) {
  const calls: { given: Given[]; resolve: ((answer: Answer) => void)[] }[] = [];
  return (rank: number) => {
    let next = 0;
    return (given: Given): Promise<Answer> =>
      new Promise(resolve => {
        const call = next++;
        calls[call] ??= { given: [], resolve: [] };
        const meeting = calls[call];
        meeting.given[rank] = given;
        meeting.resolve[rank] = resolve;
        if (Object.keys(meeting.resolve).length < size) return;
        const answer = meet(meeting.given);
        for (const each of meeting.resolve) each(answer());
      });
  };
}
