/** Options that several verbs have, in the same words. */
import { type Command, Option } from 'commander';
import { ON_BAD_ROW } from '../data/bad-rows.js';
import { SPECIAL_TOKENS, type SpecialTokens } from '../data/tokenizer.js';
import { PRECISIONS } from '../model/tensors.js';

/** The names of types of weights, as commands take them. */
export const DTYPES = { f32: 'F32', f16: 'F16', bf16: 'BF16' } as const;

/** What can run a study. */
export const ENGINES = ['local', 'slurm'] as const;
export type EngineName = (typeof ENGINES)[number];

export const modelOption = (): Option =>
  new Option('--model <checkpoint>', 'checkpoint, model folder, or run (its latest checkpoint)').makeOptionMandatory();

export const adapterOption = (): Option =>
  new Option(
    '--adapter <name>',
    'adapter, by a part of its name, its number, pci: or uuid: (or set BABELGRAD_ADAPTER)',
  );

export const precisionOption = (): Option =>
  new Option('--precision <type>', 'of matrices and activations').choices(PRECISIONS).default('f32');

export const specialTokensOption = (standard: SpecialTokens): Option =>
  new Option('--special-tokens <as>', 'special tokens spelled out in a text (</s>, say): plain text, or those tokens')
    .choices(SPECIAL_TOKENS)
    .default(standard);

export const onBadRowOption = (): Option =>
  new Option('--on-bad-row <action>', 'where a line or row is no document (not JSON, null, no text): error, or skip it')
    .choices(ON_BAD_ROW)
    .default('error');

export const addVerifyOption = (command: Command): Command =>
  command.option('--no-verify', 'do not compare files with their checksums first (it takes about a second per GB)');
