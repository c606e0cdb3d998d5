/** A UserError is one line of bounded length, whatever it quotes. */
import { expect, test } from 'vitest';
import { UserError } from '../src/errors.js';
import { runCommand } from './support/command.js';

test('a message that quotes lines is one line', () => {
  expect(new UserError("unknown field '[\r\n  [\n\n]'").message).toBe("unknown field '[ [ ]'");
});

test('a message that quotes a long text is cut', () => {
  expect(new UserError('x'.repeat(1e6)).message).toHaveLength(2002);
});

test('a message on the terminal has no control characters of what it quotes', async () => {
  const { status, stderr } = await runCommand('/', ['fit', '--law', 'chinchilla', '\u001b[2J\u0007.csv']);
  expect(status).toBe(2);
  expect(stderr).toBe("error: there is no file '\\x1b[2J\\x07.csv'\n");
});
