/** The completion scripts, run by their shells. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { treeOf } from '../../src/cli/completion.js';
import { SCRIPTS } from '../../src/cli/completion-scripts.js';
import { loadedProgram } from '../../src/cli/program.js';
import { runCommand } from '../support/command.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-completion-'));
afterAll(() => rmSync(root, { recursive: true }));
mkdirSync(join(root, 'runs'));
writeFileSync(join(root, 'run one.yaml'), '');

const tree = treeOf(await loadedProgram('0.0.0'));
for (const [shell, script] of Object.entries(SCRIPTS)) writeFileSync(join(root, shell), script(tree));

/** What the shell under test offers at the end of a line; the words are as bash parts them. */
type Complete = (...words: string[]) => string[];

const bash: Complete = (...words) => {
  const line = ['babelgrad', ...words].map(word => `'${word}'`).join(' ');
  const program = `source ./bash; COMP_WORDS=(${line}); COMP_CWORD=${words.length}; _babelgrad
for each in "\${COMPREPLY[@]}"; do echo "$each"; done`;
  return execFileSync('bash', ['--norc', '-c', program], { cwd: root, encoding: 'utf8' }).split('\n').filter(Boolean);
};

const fish: Complete = (...words) => {
  const line = `babelgrad ${words.join(' ').replaceAll(' = ', '=').replaceAll("'", "\\'")}`;
  const program = `source ./fish; complete -C '${line}'`;
  const printed = execFileSync('fish', ['--no-config', '-c', program], { cwd: root, encoding: 'utf8' });
  return printed
    .split('\n')
    .filter(Boolean)
    .map(offered => offered.split('\t')[0]!);
};

const has = (shell: string) => spawnSync(shell, ['--version']).status === 0;
const SHELLS: [string, Complete][] = [
  ['bash', bash],
  ['fish', fish],
];

describe.each(SHELLS)('%s', (shell, complete) => {
  test.skipIf(!has(shell))('offers commands, flags, values and files', () => {
    expect(complete('t')).toEqual(expect.arrayContaining(['train', 'tokenize', 'tokenizer', 'tune']));
    expect(complete('eval', '')).toEqual(expect.arrayContaining(['loss', 'tasks', 'probe', 'forgetting']));
    expect(complete('train', '--schedule', 'c').sort()).toEqual(['constant', 'cosine']);
    expect(complete('train', '--sch')).toEqual(['--schedule']);
    expect(complete('eval', 'loss', '--mod')).toEqual(['--model']);
    expect(complete('completion', '').sort()).toEqual(['bash', 'fish', 'zsh']);
    expect(complete('train', '--tokens', '')).toEqual([]);
    expect(complete('report', 'ru').map(name => name.replace('/', ''))).toEqual(
      expect.arrayContaining(['runs', expect.stringMatching(/run.* one\.yaml/)]),
    );
    expect(complete('cpt', '--config', 'ru')).toHaveLength(2);
    expect(complete('train', '--freeze-body')).toEqual([]); // it is cpt's
  });
});

test('bash parts a name from its folder', () => {
  expect(bash('train', '--source', 'en', '=', 'runs')).toEqual(['runs']);
  expect(bash('train', '--out', '=')).toEqual(expect.arrayContaining(['runs', 'run one.yaml']));
});

test.skipIf(!has('zsh'))('zsh asks for the arguments of the command at hand', () => {
  const program = `compdef() { }; _describe() { print -l \${(P)2} }; _arguments() { print -l -- "$@" }
source ./zsh; words=(babelgrad eval loss --mod); CURRENT=4; _babelgrad; print -l "words $words"
words=(babelgrad e); CURRENT=2; _babelgrad`;
  const printed = execFileSync('zsh', ['-f', '-c', program], { cwd: root, encoding: 'utf8' });
  expect(printed).toContain('*--model[checkpoint, model folder, or run]:value:_files');
  expect(printed).toContain('words loss --mod');
  expect(printed).toMatch(/^generate:continue prompts with a model$/m);
});

test('every word that is offered is one word, and every command is there', async () => {
  const words = tree.flatMap(({ commands, options, operands }) => [
    ...commands.map(({ name }) => name),
    ...options.flatMap(({ flag, values }) => [flag, ...(typeof values === 'object' ? values : [])]),
    ...(typeof operands === 'object' ? operands : []),
  ]);
  expect(words.length).toBeGreaterThan(300);
  for (const word of words) expect(word).toMatch(/^[\w.:+-]+$/);
  expect(tree.map(({ path }) => path)).toEqual(expect.arrayContaining(['', 'train', 'study run', 'audit kernels']));
  const printed = await runCommand(root, ['completion', 'bash']);
  expect(printed.stdout).toContain("' train'");
  expect(await runCommand(root, ['completion', 'powershell'])).toMatchObject({ status: 2 });
});
