import type { Command } from 'commander';
import { findInputFiles } from '../data/inputs.js';
import { tokenizeFiles } from '../data/tokenize.js';
import { TextTokenizer, trainTokenizer } from '../data/tokenizer.js';
import { short } from '../report/words.js';
import { defineAction } from './command.js';
import { wholeNumber } from './numbers.js';

const INPUTS = 'text files: .txt, .jsonl (each also .gz, .zst), .parquet; folders; globs';
const FIELD = 'field or column that holds the text in .jsonl and .parquet';

/** `tokenizer train` */
export function addTokenizerCommand(program: Command): void {
  const group = program.command('tokenizer').description('make tokenizers');
  const train = group
    .command('train')
    .description('train a byte-level BPE in Hugging Face format')
    .argument('<files...>', INPUTS)
    .requiredOption('--vocab-size <entries>', 'size of the vocabulary', wholeNumber(1))
    .requiredOption('--out <file>', 'where tokenizer.json goes')
    .option('--field <name>', FIELD, 'text');
  defineAction<{ vocabSize: number; out: string; field: string }>(train, async (terminal, options, names) => {
    const files = findInputFiles(names as unknown as string[]);
    let noted = 0;
    const onProgress = (characters: number) => {
      if (characters - noted < 1e8) return;
      noted = characters;
      terminal.note(`read ${short(characters)} characters`);
    };
    const tokenizer = await trainTokenizer(files, { ...options, onProgress });
    terminal.print(`${options.out}: ${tokenizer.vocabSize} entries from ${files.length} file(s)`);
    return { path: options.out, vocabSize: tokenizer.vocabSize, separatorId: tokenizer.separatorId, files };
  });
}

interface TokenizeOptions {
  tokenizer: string;
  out: string;
  heldOutTokens?: number;
  field: string;
  seed: number;
}

/** `tokenize` */
export function addTokenizeCommand(program: Command): void {
  const command = program
    .command('tokenize')
    .description('turn text files into token shards with a held-out split')
    .argument('<files...>', INPUTS)
    .requiredOption('--tokenizer <file>', 'tokenizer.json')
    .requiredOption('--out <folder>', 'folder to make')
    .option('--held-out-tokens <tokens>', 'tokens to hold out (default: a twentieth, at most 1M)', wholeNumber(0))
    .option('--field <name>', FIELD, 'text')
    .option('--seed <seed>', 'of the choice of held-out documents', wholeNumber(0), 0);
  defineAction<TokenizeOptions>(command, async (terminal, options, names) => {
    const files = findInputFiles(names as unknown as string[]);
    const tokenizer = TextTokenizer.load(options.tokenizer);
    const progress = terminal.progress('tokenize', files.length, 'files');
    let index: Awaited<ReturnType<typeof tokenizeFiles>>;
    try {
      index = await tokenizeFiles(files, {
        ...options,
        tokenizer,
        onProgress: ({ file, tokens }) => progress.update(files.indexOf(file), `${short(tokens)} tokens`),
      });
      progress.update(files.length);
    } finally {
      progress.stop();
    }
    const trainTokens = index.shards.reduce((sum, { tokens }) => sum + tokens, 0);
    const bytesPerToken = index.text.bytes / (trainTokens + index.heldOut.tokens);
    terminal.print(
      `${options.out}: ${trainTokens} training tokens in ${index.shards.length} shard(s), ${index.heldOut.tokens} held out, ` +
        `${index.text.documents} documents, ${bytesPerToken.toFixed(2)} bytes per token`,
    );
    return { path: options.out, trainTokens, heldOutTokens: index.heldOut.tokens, bytesPerToken, ...index.text };
  });
}
