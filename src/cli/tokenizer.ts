/** The commands `tokenizer train` and `tokenize`: from text files to a vocabulary, and to token shards. */
import { NAMED_PATTERNS } from '../data/patterns.js';
import { UserError } from '../errors.js';
import {
  BadRows,
  findInputFiles,
  type OnBadRow,
  type SpecialTokens,
  sizeOfFiles,
  TextTokenizer,
  type TokenIndex,
  tokenizeFiles,
  trainTokenizer,
} from '../index.js';
import { short } from '../report/numbers.js';
import { printLeftOut } from './bad-rows.js';
import type { CommandResult, Terminal } from './command.js';
import { noteSpelledSpecialTokens } from './special-tokens.js';

interface TrainOptions {
  vocabSize: number;
  out: string;
  pattern?: string;
  field: string;
  onBadRow: OnBadRow;
}

/** The command `tokenizer train`. */
export async function tokenizerTrain(
  terminal: Terminal,
  options: TrainOptions,
  names: string[],
): Promise<CommandResult> {
  const files = findInputFiles(names);
  const progress = terminal.progress('read', sizeOfFiles(files), 'bytes');
  let bytes = 0;
  const onRead = (more: number) => {
    bytes += more;
    progress.update(bytes);
  };
  const rows = new BadRows(options.onBadRow);
  const pattern = patternOf(options.pattern);
  let tokenizer: TextTokenizer;
  try {
    tokenizer = await trainTokenizer(files, { ...options, pattern, rows, onRead });
  } finally {
    progress.stop();
  }
  terminal.print(`${options.out}: ${tokenizer.vocabSize} entries from ${files.length} file(s)`);
  printLeftOut(terminal, rows);
  const { vocabSize, separatorId } = tokenizer;
  return { path: options.out, vocabSize, separatorId, files, ...rows.counts };
}

/** Returns a pattern by its name, or as it is. @throws UserError when it looks like a name that is not known. */
function patternOf(given: string | undefined): string | undefined {
  if (given === undefined || NAMED_PATTERNS[given] !== undefined) return given && NAMED_PATTERNS[given];
  if (!/^[\w.-]+$/.test(given)) return given;
  throw new UserError(
    `--pattern ${given} is no pattern by name; there are ${Object.keys(NAMED_PATTERNS).join(', ')}, or give a ` +
      'regular expression',
  );
}

interface TokenizeOptions {
  tokenizer: string;
  out: string;
  separator?: string;
  bos?: 'yes' | 'no';
  specialTokens: SpecialTokens;
  heldOutTokens?: number;
  field: string;
  spans?: string;
  onBadRow: OnBadRow;
  seed: number;
}

/** The command `tokenize`. */
export async function tokenize(terminal: Terminal, options: TokenizeOptions, names: string[]): Promise<CommandResult> {
  const files = findInputFiles(names);
  const { separator, specialTokens } = options;
  const bos = options.bos === undefined ? undefined : options.bos === 'yes';
  const tokenizer = TextTokenizer.load(options.tokenizer, { separator, bos });
  const progress = terminal.progress('tokenize', sizeOfFiles(files), 'bytes');
  const rows = new BadRows(options.onBadRow);
  let index: TokenIndex;
  try {
    index = await tokenizeFiles(files, {
      ...options,
      spansField: options.spans,
      tokenizer,
      rows,
      onProgress: ({ bytes, tokens }) => progress.update(bytes, `${short(tokens)} tokens`),
    });
  } finally {
    progress.stop();
  }
  const trainTokens = index.shards.reduce((sum, { tokens }) => sum + tokens, 0);
  const bytesPerToken = index.text.bytes / (trainTokens + index.heldOut.tokens);
  terminal.print(
    `${options.out}: ${trainTokens} training tokens in ${index.shards.length} shard(s), ` +
      `${index.heldOut.tokens} held out, ` +
      `${index.text.documents} documents, ${bytesPerToken.toFixed(2)} bytes per token`,
  );
  const { separatorId, startIds } = index;
  const spelling = new Map([...tokenizer.vocabulary].map(([token, id]) => [id, token]));
  const begin = startIds.length > 0 ? `begin with ${startIds.map(id => spelling.get(id)).join(' ')} and ` : '';
  terminal.print(`documents ${begin}end with ${spelling.get(separatorId)}`);
  const { trainedTokens } = index;
  if (trainedTokens !== undefined) {
    terminal.print(`${trainedTokens} tokens are trained (in spans of '${options.spans}'), the others are read alone`);
  }
  printLeftOut(terminal, rows);
  const { spelled } = index.specialTokens!;
  noteSpelledSpecialTokens(terminal, spelled, specialTokens);
  const marks = { separatorId, startIds, specialTokens: index.specialTokens };
  const tokens = {
    ...(trainedTokens !== undefined && { trainedTokens }),
    trainTokens,
    heldOutTokens: index.heldOut.tokens,
    bytesPerToken,
  };
  return { path: options.out, ...tokens, ...index.text, ...marks, ...rows.counts };
}
