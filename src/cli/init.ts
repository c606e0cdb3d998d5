/** The command `init`: writes the file of a run, from flags or, in a terminal, from a few questions. */
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { InvalidArgumentError } from 'commander';
import { findModelFolder } from '../checkpoint/find.js';
import { UserError } from '../errors.js';
import { checkFilePlace, writeFileWhole } from '../files.js';
import { parseConfig, presetNames, presetSize } from '../index.js';
import { parseFields } from '../run/config.js';
import { openData } from '../run/run-data.js';
import type { CommandResult, Terminal } from './command.js';
import { configText } from './config-text.js';
import { parseSource, type SourceFlag } from './field-flags.js';

export interface InitOptions {
  readonly data?: readonly SourceFlag[];
  readonly size?: string;
  readonly cpt?: string;
  readonly memory?: string;
  readonly out?: string;
}

/** Asks a question and returns the line that is typed. */
export type Ask = (question: string) => Promise<string>;

export async function init(terminal: Terminal, given: InitOptions, file: string): Promise<CommandResult> {
  if (existsSync(file)) throw new UserError(`'${file}' is there already and is not replaced; name another file`);
  checkFilePlace(file);
  check(given);
  const isComplete = given.data !== undefined && (given.size ?? given.cpt) !== undefined;
  const canAsk = process.stdin.isTTY && process.stderr.isTTY && !terminal.json;
  const answers = isComplete || !canAsk ? given : await inTerminal(ask => askFor(given, ask, terminal.note));
  const { data, size, cpt, memory } = answers;
  if (data === undefined) throw new UserError('a run needs data: give --data name=folder, a folder made by tokenize');
  if (size === undefined && cpt === undefined) {
    throw new UserError('a run needs a model: give --size for a new one, or --cpt for a checkpoint to go on with');
  }
  const { out = standardFolder(answers) } = answers;
  const fields = { out, sources: data, ...(size !== undefined && { preset: size }), ...(memory && { memory }) };
  const config = parseConfig(fields, 'the flags');
  writeFileWhole(file, configText(config, cpt));
  const start = `babelgrad ${cpt === undefined ? 'train' : `cpt --from ${cpt}`} --config ${file}`;
  terminal.print(`written: ${file}`);
  terminal.print(`see what it takes with: ${start} --dry-run`);
  terminal.print(`start with: ${start}`);
  return { path: file, config, start };
}

/** Checks what was given. @throws UserError naming what is not there, or not so. */
function check({ data, size, cpt, memory }: InitOptions): void {
  if (data) openData(data).close();
  if (size !== undefined) presetSize(size);
  if (cpt !== undefined) findModelFolder(cpt);
  if (memory !== undefined) parseFields({ memory }, 'the flags');
}

const standardFolder = ({ data, cpt }: InitOptions): string =>
  `runs/${data?.[0]?.name ?? 'run'}${cpt === undefined ? '' : '-cpt'}`;

/** Asks for what was not given. What is wrong with an answer goes to `say`, and the question comes again. */
export async function askFor(given: InitOptions, ask: Ask, say: (line: string) => void): Promise<InitOptions> {
  const answers: { -readonly [Name in keyof InitOptions]: InitOptions[Name] } = { ...given };
  const until = async (question: string, take: (text: string) => void) => {
    for (;;) {
      const answer = (await ask(question)).trim();
      try {
        return take(answer);
      } catch (error) {
        if (!(error instanceof UserError || error instanceof InvalidArgumentError)) throw error;
        say(error.message);
      }
    }
  };
  const take = (answer: Partial<InitOptions>) => {
    check(answer);
    Object.assign(answers, answer);
  };
  if (given.data === undefined) {
    await until('Folders made by tokenize, as fr=runs/data/fr@0.9 en=runs/data/en@0.1: ', text =>
      take({ data: text.split(/\s+/).map(parseSource) }),
    );
  }
  if (given.size === undefined && given.cpt === undefined) {
    await until('Checkpoint, model folder or run to go on with (empty: a new model): ', text => {
      if (text !== '') take({ cpt: text });
    });
    if (answers.cpt === undefined) {
      const [first, last] = [presetNames[0], presetNames.at(-1)];
      await until(`Size of the new model, ${first} to ${last} (empty: mini): `, text => take({ size: text || 'mini' }));
    }
  }
  if (given.memory === undefined) {
    await until('What it may take of the device, as 24GB (empty: all): ', text => {
      if (text !== '') take({ memory: text });
    });
  }
  if (given.out === undefined) {
    const standard = standardFolder(answers);
    await until(`Folder of the run (empty: ${standard}): `, text => take({ out: text || standard }));
  }
  return answers;
}

/** Runs `body` with questions on stderr. @throws UserError where the input ends before the last answer. */
async function inTerminal<Result>(body: (ask: Ask) => Promise<Result>): Promise<Result> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  lines.on('SIGINT', () => process.emit('SIGINT')); // as where nobody reads the terminal's keys
  const ended = new Promise<never>((_, reject) => {
    lines.once('close', () => reject(new UserError('the input ended before the last answer; nothing was written')));
  });
  ended.catch(() => {}); // it also ends after the last answer
  try {
    return await body(question => Promise.race([lines.question(question), ended]));
  } finally {
    lines.close();
  }
}
