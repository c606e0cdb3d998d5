/** Completion scripts of shells. Each finds the command in the words before the cursor, then offers what it takes. */

/** What stands in a place of the line: one of some words, a file or folder, or what only the user knows. */
export type Values = readonly string[] | 'files' | 'unknown';

export interface Completed {
  /** The command as it is typed after the program's name: `eval loss`; the program itself is ''. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly CompletedOption[];
  readonly operands: Values;
}

export interface CompletedOption {
  readonly flag: string;
  readonly description: string;
  /** The values that it takes, if it takes one. */
  readonly values: Values | undefined;
}

export type Shell = 'bash' | 'zsh' | 'fish';

type Script = (tree: readonly Completed[]) => string;

/** Returns the words by which a script walks down the tree: `' eval'`, `'eval loss'`. */
function stepsOf(tree: readonly Completed[]): string[] {
  return tree
    .filter(({ path }) => path !== '')
    .map(({ path }) => {
      const words = path.split(' ');
      return quoted(`${words.slice(0, -1).join(' ')} ${words.at(-1)}`);
    });
}

/** Quotes for bash and zsh. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
/** Quotes for fish. */
const fishQuoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
const isWords = (values: Values | undefined): values is readonly string[] => typeof values === 'object';

const bash: Script = tree => {
  const flagsWith = (isSuch: (values: Values) => boolean) =>
    tree.flatMap(({ path, options }) =>
      options.flatMap(({ flag, values }) => (values && isSuch(values) ? [quoted(`${path} ${flag}`)] : [])),
    );
  const chosen = tree.flatMap(({ path, options }) =>
    options.flatMap(({ flag, values }) =>
      isWords(values) ? [`    ${quoted(`${path} ${flag}`)}) values=${quoted(values.join(' '))} ;;`] : [],
    ),
  );
  const flags = tree.map(
    ({ path, options }) => `      ${quoted(path)}) values=${quoted(options.map(({ flag }) => flag).join(' '))} ;;`,
  );
  const operands = tree.flatMap(({ path, commands, operands }) => {
    const words = [...commands.map(({ name }) => name), ...(isWords(operands) ? operands : [])];
    if (words.length > 0) return [`      ${quoted(path)}) values=${quoted(words.join(' '))} ;;`];
    return operands === 'files' ? [`      ${quoted(path)}) files=1 ;;`] : [];
  });
  return `# Completion of babelgrad for bash: eval "$(babelgrad completion bash)"
_babelgrad() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} command= values= files= word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$command $word" in
      ${stepsOf(tree).join('|')}) command=\${command:+$command }$word ;;
    esac
  done
  case "$command $before" in
    *' =') files=1 ;;
    ${flagsWith(values => values === 'files').join('|')}) files=1 ;;
    ${flagsWith(values => values === 'unknown').join('|')}) [[ $current == '=' ]] || return ;;
${chosen.join('\n')}
  esac
  if [[ $current == '=' ]]; then # bash ends a word there: a folder follows the name
    current= files=1
  fi
  if [[ -z $values$files && $current == -* ]]; then
    case $command in
${flags.join('\n')}
    esac
  elif [[ -z $values$files ]]; then
    case $command in
${operands.join('\n')}
    esac
  fi
  COMPREPLY=()
  [[ -z $files ]] || compopt -o filenames 2> /dev/null
  while IFS= read -r word; do
    COMPREPLY+=("$word")
  done < <(if [[ -n $files ]]; then compgen -f -- "$current"; else compgen -W "$values" -- "$current"; fi)
}
complete -F _babelgrad babelgrad
`;
};

const zsh: Script = tree => {
  const escaped = (text: string) => text.replaceAll(/[[\]:\\]/g, character => `\\${character}`);
  const action = (values: Values) =>
    isWords(values) ? `(${values.join(' ')})` : values === 'files' ? '_files' : '( )';
  const cases = tree.map(({ path, commands, options, operands }) => {
    const specs = options.map(({ flag, description, values }) =>
      quoted(`*${flag}[${escaped(description)}]${values ? `:value:${action(values)}` : ''}`),
    );
    if (operands !== 'unknown') specs.push(quoted(`*:operand:${action(operands)}`));
    const lines = [`_arguments -S : ${specs.join(' ')}`];
    if (commands.length > 0) {
      const listed = commands.map(({ name, description }) => quoted(`${name}:${escaped(description)}`));
      lines.push(`commands=(${listed.join(' ')})`, '_describe command commands');
    }
    return `    ${quoted(path)})\n${lines.map(line => `      ${line}`).join('\n')}\n      ;;`;
  });
  return `#compdef babelgrad
# Completion of babelgrad for zsh: source <(babelgrad completion zsh), after compinit
_babelgrad() {
  local command= word
  local -a commands
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$command $word" in
      ${stepsOf(tree).join('|')})
        command="\${command:+$command }$word"
        shift words
        ((CURRENT--))
        ;;
    esac
  done
  case "$command" in
${cases.join('\n')}
  esac
}
compdef _babelgrad babelgrad
`;
};

const fish: Script = tree => {
  const lines = tree.flatMap(({ path, commands, options, operands }) => {
    const at = `complete -c babelgrad -n ${fishQuoted(`__babelgrad_at ${fishQuoted(path)}`)}`;
    const offered = [
      ...commands.map(({ name, description }) => `${at} -a ${fishQuoted(name)} -d ${fishQuoted(description)}`),
      ...options.map(({ flag, description, values }) => {
        const takes = isWords(values)
          ? ` -x -a ${fishQuoted(values.join(' '))}`
          : values === undefined
            ? ''
            : values === 'files'
              ? ' -r -F'
              : ' -x';
        return `${at} -l ${flag.replace(/^-+/, '')}${takes} -d ${fishQuoted(description)}`;
      }),
    ];
    if (operands === 'files') offered.push(`${at} -F`);
    if (isWords(operands)) offered.push(`${at} -a ${fishQuoted(operands.join(' '))}`);
    return offered;
  });
  return `# Completion of babelgrad for fish: babelgrad completion fish | source
function __babelgrad_at
  set -l command
  for word in (commandline -opc)[2..-1]
    switch "$command $word"
      case ${stepsOf(tree).join(' ')}
        set command (string trim -- "$command $word")
    end
  end
  test "$command" = "$argv[1]"
end
complete -c babelgrad -f
${lines.join('\n')}
`;
};

export const SCRIPTS: Readonly<Record<Shell, Script>> = { bash, zsh, fish };
