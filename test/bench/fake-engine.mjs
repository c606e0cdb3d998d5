// An engine that multiplies matrices, or pretends to: its behaviour is its first argument. See engines/protocol.ts.
import { readFileSync, writeFileSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';

const [behaviour] = process.argv.slice(2);
const answer = value => writeSync(3, `${JSON.stringify(value)}\n`);
const read = path => new Float32Array(Uint8Array.from(readFileSync(path)).buffer);

if (behaviour === 'dead') {
  process.stderr.write('no adapter for me');
  process.exit(1);
}
answer({ value: { version: '1', device: 'none' } });
for await (const line of createInterface({ input: process.stdin })) {
  const { do: wanted, task, results, seconds } = JSON.parse(line);
  if (wanted === 'prepare') {
    if (behaviour === 'unable') answer({ value: { unsupported: 'forward only' } });
    else if (behaviour === 'throws') answer({ error: 'out of memory' });
    else {
      const { folder, size } = task;
      const [a, b] = ['a', 'b'].map(name => read(`${folder}/${name}.f32`));
      const c = new Float32Array(size * size);
      for (let i = 0; i < c.length; i++) {
        for (let k = 0; k < size; k++) c[i] += a[Math.floor(i / size) * size + k] * b[k * size + (i % size)];
      }
      if (behaviour === 'wrong') c[5] += 0.01;
      writeFileSync(`${results}/c.f32`, new Uint8Array(c.buffer));
      answer({ value: {} });
    }
  } else if (wanted === 'measure') {
    if (behaviour === 'crashes') process.exit(1);
    answer({ value: [1000 * seconds, 2000 * seconds] });
  } else answer({ value: null });
}
