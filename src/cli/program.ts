/** The tree of commands, and how its help looks. */
import { Command, Help, type Option } from 'commander';
import { VERBS } from './verbs.js';

/** The widest that the column of options becomes; what is longer has its words on the next lines. */
const TERM_COLUMNS = 26;

/** A command that names an unknown flag before a missing one: often the one is the other, misspelt. */
class BabelgradCommand extends Command {
  override createCommand(name?: string): Command {
    return new BabelgradCommand(name);
  }

  /** Is called by commander before it looks for unknown flags. `args` begin with operands, then come the unknown. */
  missingMandatoryOptionValue(option: Option): void {
    const unknown = this.args.find(text => /^-./.test(text));
    if (unknown === undefined) this.error(`error: required option '${option.flags}' not specified`);
    (this as unknown as Undeclared).unknownOption(unknown);
  }
}

/** What commander's Command has and does not declare. */
interface Undeclared {
  /** Fails with the flag that was probably meant. */
  unknownOption(flag: string): never;
}

/** Returns the program, whose verbs are loaded when they are called. */
export function makeProgram(version: string): Command {
  const program = new BabelgradCommand('babelgrad')
    .description('Train LLaMA-architecture language models on any GPU, from scratch and by continual pre-training')
    .version(version)
    .showHelpAfterError('(add --help for the options)')
    .configureHelp({ padWidth, formatItem, optionDescription })
    .exitOverride();
  for (const [group, verbs] of Object.entries(VERBS)) {
    for (const { name, description } of verbs) program.command(name).description(description).helpGroup(group);
  }
  return program.hook('preSubcommand', (_, command) => loadVerb(command));
}

const loaded = new WeakSet<Command>();

/** Adds the options of a verb of the program. Below a verb everything is there already. */
export async function loadVerb(command: Command): Promise<void> {
  const verb = Object.values(VERBS)
    .flat()
    .find(({ name }) => name === command.name());
  if (!verb || loaded.has(command)) return;
  loaded.add(command);
  const describe = await verb.load();
  describe(command);
}

/** Returns the whole tree. */
export async function loadedProgram(version: string): Promise<Command> {
  const program = makeProgram(version);
  for (const command of program.commands) await loadVerb(command);
  return program;
}

const padWidth = (command: Command, helper: Help): number =>
  Math.min(TERM_COLUMNS, Help.prototype.padWidth.call(helper, command, helper));

function formatItem(term: string, termWidth: number, description: string, helper: Help): string {
  const indent = ' '.repeat(2 + termWidth + 2);
  const width = (helper.helpWidth ?? 80) - indent.length;
  const lines = helper.boxWrap(description, width).split('\n');
  const isLong = helper.displayWidth(term) > termWidth;
  const head = isLong || description === '' ? [`  ${term}`] : [`  ${term.padEnd(termWidth)}  ${lines.shift()}`];
  return [...head, ...(description === '' ? [] : lines.map(line => indent + line))].join('\n');
}

const optionDescription = (option: Option): string =>
  `${option.mandatory ? 'needed: ' : ''}${Help.prototype.optionDescription.call(new Help(), option)}`;
