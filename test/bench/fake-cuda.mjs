// An engine that keeps several works ready, as torch_cuda.py does, and computes nothing. See engines/protocol.ts.
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';

const answer = value => writeSync(3, `${JSON.stringify(value)}\n`);
answer({ value: { version: '2', device: 'a GPU' } });
const ready = new Set();
for await (const line of createInterface({ input: process.stdin })) {
  const { do: wanted, task, work, seconds } = JSON.parse(line);
  if (wanted === 'prepare') {
    if (task.compiled) answer({ error: 'no compiler' });
    else {
      ready.add(task.name);
      answer({ value: { ...(task.work === 'step' && { losses: [3, 2, 1], costs: { peakBytes: 5e6 } }) } });
    }
  } else if (wanted === 'measure') answer(ready.has(work) ? { value: [1000 * seconds] } : { error: `no ${work}` });
  else {
    ready.clear();
    answer({ value: null });
  }
}
