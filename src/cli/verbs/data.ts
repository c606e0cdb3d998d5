/** The options of `tokenizer train`, `tokenize` and `vocab extend`. */
import { type Command, Option } from 'commander';
import { ROW_INITS } from '../../checkpoint/vocabulary.js';
import { defineAction, example } from '../command.js';
import { collectPairs } from '../input.js';
import { wholeNumber } from '../numbers.js';
import { modelOption, onBadRowOption, specialTokensOption } from '../options.js';

const INPUTS = 'text files: .txt, .jsonl (each also .gz, .zst), .parquet; folders; globs';
const FIELD = 'field or column that holds the text in .jsonl and .parquet';

export function describeTokenizer(group: Command): void {
  const train = group
    .command('train')
    .description('train a byte-level BPE in Hugging Face format')
    .argument('<files...>', INPUTS)
    .requiredOption('--vocab-size <entries>', 'size of the vocabulary', wholeNumber(1))
    .requiredOption('--out <file>', 'where tokenizer.json goes: a new file')
    .option(
      '--pattern <pattern>',
      'what tokens stay within: gpt2, qwen2 (which export --format gguf can say), or a regular expression in ' +
        "Oniguruma's syntax (default: words, short numbers)",
    )
    .optionsGroup('Reading:')
    .option('--field <name>', FIELD, 'text')
    .addOption(onBadRowOption());
  example(train, 'babelgrad tokenizer train texts/ --vocab-size 8192 --out tokenizer.json');
  defineAction(train, async () => (await import('../tokenizer.js')).tokenizerTrain);
}

export function describeTokenize(command: Command): void {
  command
    .argument('<files...>', INPUTS)
    .requiredOption('--tokenizer <file>', 'tokenizer.json')
    .requiredOption('--out <folder>', 'folder to make')
    .optionsGroup('Documents:')
    .option('--separator <token>', "token that ends documents (default: the tokenizer's or model's end-of-text token)")
    .addOption(
      new Option(
        '--bos <choice>',
        "begin documents with the tokenizer's first token (default: as the tokenizer does)",
      ).choices(['yes', 'no']),
    )
    .addOption(specialTokensOption('text'))
    .option('--spans <field>', 'field of .jsonl with what is trained, [[start, end], …] in characters (default: all)')
    .optionsGroup('Held-out split:')
    .option('--held-out-tokens <tokens>', 'tokens to hold out (default: a twentieth, at most 1M)', wholeNumber(0))
    .option('--seed <seed>', 'of the choice of held-out documents', wholeNumber(0), 0)
    .optionsGroup('Reading:')
    .option('--field <name>', FIELD, 'text')
    .addOption(onBadRowOption());
  example(command, 'babelgrad tokenize texts/fr --tokenizer tokenizer.json --out data/fr');
  defineAction(command, async () => (await import('../tokenizer.js')).tokenize);
}

export function describeVocab(group: Command): void {
  const extend = group
    .command('extend')
    .description('add tokens to a model and its tokenizer, for a new language; ids of old tokens stay')
    .addOption(modelOption())
    .requiredOption('--out <folder>', 'model folder to make')
    .optionsGroup('Where new tokens come from:')
    .option('--train <files...>', "text from which further merges of the model's own BPE are learned")
    .option('--add <tokens>', 'with --train: tokens to add', wholeNumber(1))
    .option('--tokenizer <file>', "instead: a tokenizer.json whose first ids are the model's vocabulary")
    .optionsGroup('Their rows:')
    .addOption(
      new Option('--init <rows>', "new rows: mean or copy of their old pieces' (copy: of the first), or random")
        .choices(ROW_INITS)
        .default('mean'),
    )
    .option('--seed <seed>', 'of random rows', wholeNumber(0), 0)
    .optionsGroup('Reading and measuring:')
    .option('--text <name=files>', 'text whose bytes per token are measured, before and after; repeat', collectPairs)
    .option('--field <name>', FIELD, 'text')
    .addOption(onBadRowOption());
  example(extend, 'babelgrad vocab extend --model runs/en --train fr.txt --add 2000 --out fr');
  defineAction(extend, async () => (await import('../vocab.js')).extendVocab);
}
