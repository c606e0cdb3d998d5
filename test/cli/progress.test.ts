import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { barProgress } from '../../src/cli/command.js';

test('a bar shows percentage, short counts, details and the time left', () => {
  let shown = '';
  const terminal = Object.assign(new PassThrough(), { isTTY: true, columns: 120 });
  terminal.on('data', chunk => {
    shown += chunk;
  });
  const bar = barProgress('tokenize', 2_500_000, 'bytes', terminal);
  bar.update(1_000_000, '250k tokens');
  bar.stop();
  expect(shown).toMatch(/tokenize .{24} 40% · 1M\/2\.5M bytes · 250k tokens · ETA \S+/);
});
