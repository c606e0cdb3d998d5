/** The command `completion`: what a shell may offer after each command, read off the tree of commands. */
import { type Command, Help, type Option } from 'commander';
import type { CommandResult, Terminal } from './command.js';
import { type Completed, type CompletedOption, SCRIPTS, type Shell, type Values } from './completion-scripts.js';

export function completion(terminal: Terminal, program: Command, shell: Shell): CommandResult {
  const script = SCRIPTS[shell](treeOf(program));
  terminal.write(script);
  return { shell, script };
}

/** Names of values and operands that are files or folders: `<name=folder>`, `[runs...]`. */
const FILES = /\b(files?|folders?|checkpoint|dir|paths?|runs?|models?|points|curve|fit\.json|documents)\b/;
const valuesOf = (name: string, choices: readonly string[] | undefined): Values =>
  choices ?? (FILES.test(name) ? 'files' : 'unknown');

/** Returns a command and all below it. Hidden options are left out. */
export function treeOf(command: Command, path = ''): Completed[] {
  const help = new Help();
  const commands = help.visibleCommands(command).map(each => ({ name: each.name(), description: each.description() }));
  const [operand] = command.registeredArguments;
  const own: Completed = {
    path,
    commands,
    options: help.visibleOptions(command).map(completed),
    operands: operand ? valuesOf(operand.name(), operand.argChoices) : 'unknown',
  };
  return [own, ...command.commands.flatMap(each => treeOf(each, `${path} ${each.name()}`.trim()))];
}

const completed = (option: Option): CompletedOption => ({
  flag: option.long ?? option.short!,
  description: option.description.replace(/(; | \().*/, ''), // the first words are enough to choose by
  values: option.required ? valuesOf(option.flags, option.argChoices) : undefined,
});
