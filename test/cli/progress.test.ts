import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { barProgress } from '../../src/cli/progress.js';

const ESCAPES = new RegExp(`${String.fromCharCode(27)}(?:\\[[0-9;?]*[a-zA-Z]|[78])`);

/** What stands last on the line of a terminal this wide. */
function lineAt(columns: number, label: string, [done, total, unit]: [number, number, string], details?: string) {
  let shown = '';
  const terminal = Object.assign(new PassThrough(), { isTTY: true, columns });
  terminal.on('data', chunk => {
    shown += chunk;
  });
  const bar = barProgress(label, total, unit, terminal);
  bar.update(done, details);
  bar.stop();
  const lines = shown.split(ESCAPES).filter(text => text.trim() !== '');
  // the last column is the cursor's
  for (const line of lines) expect(line.trimEnd().length, line).toBeLessThan(columns);
  return lines.at(-1)!.trimEnd();
}

const step: [number, number, string] = [1250, 20_000, 'steps'];
const details = 'loss 3.214 · 12.3k tokens/s';

test('a bar shows percentage, short counts, details and the time left', () => {
  expect(lineAt(120, 'tokenize', [1_000_000, 2_500_000, 'bytes'], '250k tokens')).toMatch(
    /^tokenize [█░]{24} 40% · 1M\/2\.5M bytes · 250k tokens · ETA \S+$/,
  );
  expect(lineAt(120, 'read', step)).toMatch(/^read [█░]{24} 6% · 1.25k\/20k steps · ETA \S+$/);
});

test('the time left is not known before there is a speed', () => {
  expect(lineAt(80, 'read', [0, 100, 'bytes'])).toMatch(/ 0% · 0\/100 bytes · ETA \?$/);
});

test('at 80 columns the bar gives way', () => {
  expect(lineAt(80, 'small-fr', step, details)).toMatch(
    /^small-fr [█░]{1,11} 6% · 1.25k\/20k steps · loss 3.214 · 12.3k tokens\/s · ETA \S+$/,
  );
});

test('at 60 columns there is no bar, and the counts give way', () => {
  expect(lineAt(60, 'small-fr', step, details)).toMatch(/^small-fr 6% · loss 3.214 · 12.3k tokens\/s · ETA \S+$/);
});

test('a long label is shortened last', () => {
  const label = 'continual-pre-training-french';
  expect(lineAt(80, label, step, details)).toMatch(
    /^continual-pre-training-french 6% · loss 3.214 · 12.3k tokens\/s · ETA \S+$/,
  );
  expect(lineAt(60, label, step, details)).toMatch(/^continual-.*… 6% · loss 3.214 · 12.3k tokens\/s · ETA \S+$/);
});

test('details longer than the line are cut, and the time left stays', () => {
  expect(lineAt(60, 'tuning kernels', [12, 120, 'seconds'], 'matmul '.repeat(20))).toMatch(
    /^tuning … 10% · matmul .*… · ETA \S+$/,
  );
});
