/** The shell blocks of README and docs: each has its mark, and each command the verbs and flags that it is given. */
import { expect, test } from 'vitest';
import { treeOf } from '../src/cli/completion.js';
import type { Completed } from '../src/cli/completion-scripts.js';
import { loadedProgram } from '../src/cli/program.js';
import { packageRoot } from '../src/files.js';
import { blocksOf, files } from '../tools/docs/blocks.mjs';

const tree = new Map(treeOf(await loadedProgram('0.0.0')).map(command => [command.path, command]));
const blocks = files(packageRoot).flatMap(file => blocksOf(packageRoot, file));

/** Parts a line into words, without quotes, up to a comment, a pipe or a redirection. */
function wordsOf(line: string): string[] {
  const words = [...line.matchAll(/'[^']*'|"[^"]*"|[^\s'"]+/g)].map(([word]) => word);
  const end = words.findIndex(word => /^[#|>]/.test(word));
  return (end < 0 ? words : words.slice(0, end)).map(word => word.replace(/^(['"])(.*)\1$/, '$2'));
}

/** Returns what is wrong with a command of babelgrad: its verb, or its flags and their values. */
function faultsOf(words: readonly string[]): string[] {
  let command: Completed = tree.get('')!;
  let at = 0;
  while (tree.has(`${command.path} ${words[at]}`.trim())) command = tree.get(`${command.path} ${words[at++]}`.trim())!;
  if (command.commands.some(({ name }) => name !== 'help')) return [`no command '${words[at]}'`];
  return words.slice(at).flatMap((word, i) => {
    if (!word.startsWith('--')) return [];
    const option = command.options.find(({ flag }) => flag === word.replace(/=.*/, ''));
    if (!option) return [`${command.path} has no ${word}`];
    const value = words[at + i + 1];
    const isWrong = typeof option.values === 'object' && !option.values.includes(value!);
    return isWrong ? [`${word} ${value} is none of ${option.values}`] : [];
  });
}

test('every block says whether it runs as it stands, or what has to be there first', () => {
  expect(blocks.length).toBeGreaterThan(25);
  const bad = blocks.filter(({ mark }) => !/^(runnable|placeholder: \S.*)$/.test(mark ?? ''));
  expect(bad.map(({ file, line }) => `${file}:${line}`)).toEqual([]);
  expect(blocks.filter(({ mark }) => mark === 'runnable').length).toBeGreaterThan(10);
});

test('every command that stands in a block exists, with its flags and their choices', () => {
  const commands = blocks.flatMap(({ file, line, code }) =>
    code.split('\n').flatMap((text, i) => {
      const [, parameters] = /npx babelgrad (.*)/.exec(text) ?? [];
      return parameters === undefined ? [] : [{ place: `${file}:${line + i + 1}`, parameters }];
    }),
  );
  expect(commands.length).toBeGreaterThan(70);
  const faults = commands.flatMap(({ place, parameters }) =>
    faultsOf(wordsOf(parameters)).map(fault => `${place} ${fault}`),
  );
  expect(faults).toEqual([]);
});

test('a verb, a flag and a value that there are not are found', () => {
  expect(faultsOf(wordsOf('trian --tokens 1'))).toEqual(["no command 'trian'"]);
  expect(faultsOf(wordsOf('eval --model x'))).toEqual(["no command '--model'"]);
  expect(faultsOf(wordsOf("train --token 1 --out 'a b' # --x"))).toEqual(['train has no --token']);
  expect(faultsOf(wordsOf('train --schedule linear'))[0]).toMatch(/^--schedule linear is none of cosine,/);
});
