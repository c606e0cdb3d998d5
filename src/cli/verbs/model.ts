/** The options of `export`, `merge` and `generate`. */
import { type Command, Option } from 'commander';
import { defineAction, example } from '../command.js';
import { anyNumber, byteSize, wholeNumber } from '../numbers.js';
import {
  adapterOption,
  addVerifyOption,
  DTYPES,
  modelOption,
  precisionOption,
  specialTokensOption,
} from '../options.js';

/** Adds what commands that write a model folder share. @param dtype the type of weights unless one is given */
function addWrittenModelOptions(command: Command, dtype?: keyof typeof DTYPES): void {
  const type = new Option('--dtype <type>', 'of the weights').choices(Object.keys(DTYPES));
  command
    .requiredOption('--out <folder>', 'where it goes')
    .addOption(dtype === undefined ? type.makeOptionMandatory() : type.default(dtype))
    .option('--shard-size <size>', 'bytes of a file above which there are several, as in 500MB', byteSize, 5e9);
  addVerifyOption(command);
}

export function describeExport(command: Command): void {
  command.addOption(modelOption());
  addWrittenModelOptions(command);
  command.addOption(
    new Option(
      '--format <format>',
      'hf: a Hugging Face folder; gguf: model.gguf for llama.cpp, with its tokenizer; peft: the adapter of a lora run',
    )
      .choices(['hf', 'gguf', 'peft'])
      .default('hf'),
  );
  example(command, 'babelgrad export --model runs/french --dtype bf16 --out models/french');
  defineAction(command, async () => (await import('../export.js')).runExport);
}

export function describeMerge(command: Command): void {
  command
    .argument('<models...>', 'checkpoints, model folders, runs (their latest checkpoints), or LoRA adapters')
    .option('--base <model>', 'the model that the others come from: what they learnt beyond it is added to it')
    .option('--weights <list>', 'a number for each model, as in 3,1 (by default 1 each)');
  addWrittenModelOptions(command, 'f32');
  example(command, 'babelgrad merge runs/french --base runs/english --weights 0.7 --out models/fr');
  defineAction(command, async () => (await import('../merge.js')).merge);
}

const collect = (text: string, earlier: string[]): string[] => [...earlier, text];

export function describeGenerate(command: Command): void {
  command
    .addOption(modelOption())
    .optionsGroup('Prompts, at least one:')
    .option(
      '--prompt <text>',
      'text to continue; give it several times for several, or empty for a new text',
      collect,
      [],
    )
    .option(
      '--prompts <file>',
      'prompts of a file: one a line, empty ones too, or "prompt" in each line\'s object of a .jsonl',
    )
    .addOption(specialTokensOption('tokens'))
    .optionsGroup('Where a continuation ends:')
    .option('--max-tokens <tokens>', 'new tokens of each prompt, at most', wholeNumber(1), 128)
    .option(
      '--stop <text>',
      'text that ends a continuation and is not part of it; several times for several',
      collect,
      [],
    )
    .option(
      '--context <tokens>',
      'prompt and continuation together (default: as many as the model takes)',
      wholeNumber(1),
    )
    .optionsGroup('Sampling:')
    .option('--temperature <number>', '0 takes the likeliest token; above, tokens are drawn', anyNumber, 0)
    .option('--top-k <tokens>', 'draw from this many of the likeliest', wholeNumber(1))
    .option('--top-p <share>', 'draw from the likeliest that come to this probability', anyNumber)
    .option('--min-p <share>', "draw from those of at least this share of the likeliest one's probability", anyNumber)
    .option('--seed <seed>', 'of the draws', wholeNumber(0), 0)
    .optionsGroup('Computing:')
    .option('--batch <prompts>', 'prompts that run at once', wholeNumber(1), 8)
    .addOption(precisionOption())
    .addOption(adapterOption());
  addVerifyOption(command);
  example(command, 'babelgrad generate --model runs/french --prompt "Il fait" --temperature 0.7');
  defineAction(command, async () => (await import('../generate.js')).runGenerate);
}
