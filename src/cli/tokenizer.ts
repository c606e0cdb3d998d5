/** The commands `tokenizer train` and `tokenize`: from text files to a vocabulary, and to token shards. */
import { type Command, Option } from 'commander';
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
import { onBadRowOption, printLeftOut } from './bad-rows.js';
import { defineAction } from './command.js';
import { wholeNumber } from './numbers.js';
import { noteSpelledSpecialTokens, specialTokensOption } from './special-tokens.js';

const INPUTS = 'text files: .txt, .jsonl (each also .gz, .zst), .parquet; folders; globs';
const FIELD = 'field or column that holds the text in .jsonl and .parquet';

interface TrainOptions {
  vocabSize: number;
  out: string;
  pattern?: string;
  field: string;
  onBadRow: OnBadRow;
}

/** Adds the command `tokenizer train`. */
export function addTokenizerCommand(program: Command): void {
  const group = program.command('tokenizer').description('make tokenizers');
  const train = group
    .command('train')
    .description('train a byte-level BPE in Hugging Face format')
    .argument('<files...>', INPUTS)
    .requiredOption('--vocab-size <entries>', 'size of the vocabulary', wholeNumber(1))
    .requiredOption('--out <file>', 'where tokenizer.json goes: a new file')
    .option('--pattern <regex>', 'what tokens stay within, in the syntax of Oniguruma (default: words, short numbers)')
    .option('--field <name>', FIELD, 'text')
    .addOption(onBadRowOption());
  defineAction<TrainOptions, [string[]]>(train, async (terminal, options, names) => {
    const files = findInputFiles(names);
    const progress = terminal.progress('read', sizeOfFiles(files), 'bytes');
    let bytes = 0;
    const onRead = (more: number) => {
      bytes += more;
      progress.update(bytes);
    };
    const rows = new BadRows(options.onBadRow);
    let tokenizer: TextTokenizer;
    try {
      tokenizer = await trainTokenizer(files, { ...options, rows, onRead });
    } finally {
      progress.stop();
    }
    terminal.print(`${options.out}: ${tokenizer.vocabSize} entries from ${files.length} file(s)`);
    printLeftOut(terminal, rows);
    const { vocabSize, separatorId } = tokenizer;
    return { path: options.out, vocabSize, separatorId, files, ...rows.counts };
  });
}

interface TokenizeOptions {
  tokenizer: string;
  out: string;
  separator?: string;
  bos?: 'yes' | 'no';
  specialTokens: SpecialTokens;
  heldOutTokens?: number;
  field: string;
  onBadRow: OnBadRow;
  seed: number;
}

/** Adds the command `tokenize`. */
export function addTokenizeCommand(program: Command): void {
  const command = program
    .command('tokenize')
    .description('turn text files into token shards with a held-out split')
    .argument('<files...>', INPUTS)
    .requiredOption('--tokenizer <file>', 'tokenizer.json')
    .requiredOption('--out <folder>', 'folder to make')
    .option('--separator <token>', "token that ends documents (default: the tokenizer's or model's end-of-text token)")
    .addOption(
      new Option(
        '--bos <choice>',
        "begin documents with the tokenizer's first token (default: as the tokenizer does)",
      ).choices(['yes', 'no']),
    )
    .addOption(specialTokensOption('text'))
    .option('--held-out-tokens <tokens>', 'tokens to hold out (default: a twentieth, at most 1M)', wholeNumber(0))
    .option('--field <name>', FIELD, 'text')
    .addOption(onBadRowOption())
    .option('--seed <seed>', 'of the choice of held-out documents', wholeNumber(0), 0);
  defineAction<TokenizeOptions, [string[]]>(command, async (terminal, options, names) => {
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
    printLeftOut(terminal, rows);
    const { spelled } = index.specialTokens!;
    noteSpelledSpecialTokens(terminal, spelled, specialTokens);
    const marks = { separatorId, startIds, specialTokens: index.specialTokens };
    const tokens = { trainTokens, heldOutTokens: index.heldOut.tokens, bytesPerToken };
    return { path: options.out, ...tokens, ...index.text, ...marks, ...rows.counts };
  });
}
