/**
 * What every command shares: `--json`, where text goes, progress bars, and exit statuses (0 done, 1 failed, 2 bad
 * usage, configuration or input, 128 + the number of the signal that interrupted it).
 */
import type { Command } from 'commander';
import { messageOf, UserError } from '../errors.js';
import { barProgress, lineProgress, type Progress } from './progress.js';
import { terminalColumns, wrap } from './table.js';

/** The result of a command: the object that `--json` prints. */
export type CommandResult = Record<string, unknown>;

/** The terminal as a command sees it. With `--json` everything but the result goes to stderr. */
export interface Terminal {
  readonly json: boolean;
  /** Prints a line of the human-readable result; where a terminal is narrower, several lines. */
  print(line?: string): void;
  /** Prints a piece of the result. */
  write(text: string): void;
  /** Prints a line about what is going on (always to stderr). */
  note(line: string): void;
  /** Shows a bar on an interactive stderr, a line every few seconds elsewhere. `unit` names what is counted. */
  progress(label: string, total: number, unit: string): Progress;
}

/** What a command does: it gets the parsed options, and the positional arguments; a variadic one is an array. */
type Action = (terminal: Terminal, options: never, ...positional: never[]) => Promise<CommandResult | undefined>;

/**
 * Makes a commander action of what `load` returns, which is loaded when the command is run: it adds `--json`, prints
 * the result object, and maps errors to statuses. A command without a result is that of a process that does not speak.
 */
export function defineAction(command: Command, load: () => Promise<Action>): Command {
  return command
    .optionsGroup('Other:')
    .option('--json', 'print one JSON object on stdout at the end, everything else on stderr')
    .action(async (...parameters: unknown[]) => {
      const options = command.opts<{ json?: boolean }>();
      const terminal = makeTerminal(options.json === true);
      try {
        const action = (await load()) as (terminal: Terminal, ...given: unknown[]) => ReturnType<Action>;
        const result = await action(terminal, options, ...parameters.slice(0, -2));
        if (terminal.json && result) process.stdout.write(`${JSON.stringify(result)}\n`);
      } catch (error) {
        reportError(error, terminal.json);
      }
    });
}

/** Ends a command's help with a line that works as it stands, but for the names of files and folders. */
export const example = (command: Command, line: string): Command =>
  command.addHelpText('after', `\nExample:\n  ${line}`);

/** Prints the error to stderr (and as JSON to stdout if asked) and sets the exit status. */
export function reportError(error: unknown, json: boolean): void {
  const expected = error instanceof UserError;
  const message = printable(outOfMemory(error) ?? messageOf(error));
  process.stderr.write(`error: ${message}\n`);
  if (!expected && process.env.BABELGRAD_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  if (json) process.stdout.write(`${JSON.stringify({ error: message })}\n`);
  process.exitCode ||= expected ? 2 : 1; // an interruption's stands
}

/** Says in words what allocations of Node, and of what it compiles, throw where there is no memory. */
function outOfMemory(error: unknown): string | undefined {
  const message = messageOf(error);
  if (!/array buffer allocation failed|^WebAssembly.*(could not|cannot) allocate/i.test(message)) return undefined;
  return `this process can have no more memory (${message}); free some, or ask for less at once`;
}

/** Returns a message without what would command a terminal: names and contents of files stand in it. */
const printable = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, character => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });

const fitLines = (text: string): string =>
  text
    .split('\n')
    .flatMap(line => wrap(line, terminalColumns()))
    .join('\n');

function makeTerminal(json: boolean): Terminal {
  const out = json ? process.stderr : process.stdout;
  return {
    json,
    print: (text = '') => void out.write(`${fitLines(text)}\n`),
    write: text => void out.write(text),
    note: line => void process.stderr.write(`${line}\n`),
    progress: (label, total, unit) =>
      process.stderr.isTTY ? barProgress(label, total, unit, process.stderr) : lineProgress(label, total, unit),
  };
}
