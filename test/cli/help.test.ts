/** The help of every verb, and what is said of a flag that is misspelt. */
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { loadedProgram } from '../../src/cli/program.js';
import { runCommand } from '../support/command.js';

const program = await loadedProgram('0.0.0');
const pathOf = (command: Command): string =>
  [command.parent && pathOf(command.parent), command.name()].join(' ').trim();
const leaves = (command: Command): Command[] =>
  command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);
const commands = leaves(program).map(command => ({ path: pathOf(command), command }));

/** The help as it is printed, with what stands after the options. */
function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: part => {
      text += part;
    },
  });
  command.outputHelp();
  return text;
}

test.each(commands)('$path fits 80 columns, has an example, and marks what is needed', ({ path, command }) => {
  const help = helpOf(command);
  for (const line of help.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
  expect(help).toContain(`Example:\n  ${path}`);
  expect(help.match(/needed: /g)?.length ?? 0).toBe(command.options.filter(({ mandatory }) => mandatory).length);
  expect(command.options.every(option => option.hidden || help.includes(option.long!))).toBe(true);
});

test('the examples give what is needed, and no flag that there is not', () => {
  for (const { command } of commands) {
    const line = /Example:\n {2}(.*)/.exec(helpOf(command))![1]!;
    const flags = [...line.matchAll(/ (--[a-z-]+)/g)].map(([, flag]) => flag);
    const known = command.options.map(({ long }) => long);
    expect(known, line).toEqual(expect.arrayContaining(flags));
    for (const { mandatory, long } of command.options) if (mandatory) expect(flags, line).toContain(long);
  }
});

test('cpt lists what it takes, and train what it takes', () => {
  const [train, cpt] = ['train', 'cpt'].map(name => helpOf(program.commands.find(each => each.name() === name)!));
  expect(train).toContain('--preset ');
  expect(cpt).not.toMatch(/--preset |--layers|--hidden-size/);
  expect(cpt).toContain('--freeze-body-tokens');
  expect(train).not.toMatch(/--freeze-body-tokens|--optimizer-state/);
});

test('a misspelt flag is named, and not the one that is missing for it', async () => {
  const { status, stderr } = await runCommand('.', ['generate', '--modle', 'x']);
  expect(status).toBe(2);
  expect(stderr).toMatch(/unknown option '--modle'\n\(Did you mean --model\?\)/);
  const missing = await runCommand('.', ['generate', '--prompt', 'x']);
  expect(missing).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("required option '--model <checkpoint>'"),
  });
});
