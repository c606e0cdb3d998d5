import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readModelConfig } from '../checkpoint/hf-config.js';
import { encodeScoredText, readHeldOutText, type ScoredText } from '../data/scored-text.js';
import { UserError } from '../errors.js';
import { type TextLoss, textLoss } from '../eval/text-loss.js';
import { TokenLosses } from '../eval/token-losses.js';
import { checkFilePlace, writeFileWhole } from '../files.js';
import {
  BadRows,
  findInputFiles,
  loadModel,
  type OnBadRow,
  openDevice,
  type Precision,
  type SpecialTokens,
  TextTokenizer,
} from '../index.js';
import { short } from '../report/numbers.js';
import { checkDataFolder } from '../run/run-data.js';
import { printLeftOut } from './bad-rows.js';
import { checkedModelFolder } from './checked-files.js';
import type { CommandResult, Terminal } from './command.js';
import { noteSpelledSpecialTokens } from './special-tokens.js';
import { makeTable } from './table.js';

interface LossOptions {
  model: string;
  data: string[];
  contextLength: number;
  batch: number;
  documentMask?: boolean;
  field: string;
  specialTokens: SpecialTokens;
  onBadRow: OnBadRow;
  precision: Precision;
  verify: boolean;
  adapter?: string;
  out?: string;
}

/** The command `eval loss`. */
export async function evalLoss(terminal: Terminal, options: LossOptions): Promise<CommandResult> {
  if (options.out) checkFilePlace(options.out);
  const folder = await checkedModelFolder(terminal, options.model, options.verify);
  const sets = namedPaths(options.data);
  const config = readModelConfig(folder);
  const { vocabSize } = config;
  const texts = new Map<string, ScoredText>();
  const rows = new BadRows(options.onBadRow);
  for (const [name, paths] of sets) {
    texts.set(name, await readTexts(name, paths, options, rows, { folder, vocabSize }));
  }
  const spelled = [...texts.values()].reduce((sum, text) => sum + (text.spelledSpecialTokens ?? 0), 0);
  noteSpelledSpecialTokens(terminal, spelled, options.specialTokens);
  const documentEnd = options.documentMask ? documentEndOf(texts) : undefined;
  const device = await openDevice({ adapter: options.adapter });
  try {
    const { precision } = options;
    const model = await loadModel(device, folder, { precision, trainable: false, onNote: terminal.note });
    const shape = { B: options.batch, T: options.contextLength };
    const evaluator = await TokenLosses.create(model, shape, { documentEnd });
    const losses: Record<string, TextLoss> = {};
    for (const [name, text] of texts) losses[name] = await withProgress(terminal, name, evaluator, text);
    evaluator.destroy();
    terminal.print(lossTable(losses));
    printLeftOut(terminal, rows);
    const specialTokens = { as: options.specialTokens, spelled };
    const masked = documentEnd === undefined ? {} : { documentMask: true };
    const common = { model: folder, contextLength: options.contextLength, ...masked, specialTokens };
    const result = { ...common, losses, ...rows.counts };
    if (options.out) writeFileWhole(options.out, `${JSON.stringify(result, null, 2)}\n`);
    return result;
  } finally {
    device.close();
  }
}

/** Returns the id that ends the documents of all texts. @throws UserError when they have several. */
function documentEndOf(texts: ReadonlyMap<string, ScoredText>): number {
  const [[first, { separatorId }], ...others] = [...texts] as [[string, ScoredText], ...[string, ScoredText][]];
  for (const [name, other] of others) {
    if (other.separatorId === separatorId) continue;
    throw new UserError(
      `documents of '${first}' end with id ${separatorId} and those of '${name}' with ${other.separatorId}: ` +
        'with --document-mask, score them one at a time',
    );
  }
  return separatorId;
}

/** Returns paths by name; paths of one name belong together. */
function namedPaths(given: readonly string[]): Map<string, string[]> {
  const sets = new Map<string, string[]>();
  const unnamed = new Set<string>();
  for (const text of given) {
    const at = existsSync(text) ? -1 : text.indexOf('=');
    const path = text.slice(at + 1);
    const name = at < 0 ? basename(path).replace(/\.(txt|jsonl|parquet)(\.(gz|zst))?$/, '') : text.slice(0, at);
    if (name === '' || path === '') throw new UserError(`--data '${text}' must be a path, or name=path`);
    const earlier = sets.get(name);
    if (earlier && (at < 0 || unnamed.has(name))) {
      throw new UserError(`two --data are named '${name}'; tell them apart, or put them together, with name=path`);
    }
    if (at < 0) unnamed.add(name);
    sets.set(name, [...(earlier ?? []), path]);
  }
  return sets;
}

async function readTexts(
  name: string,
  paths: readonly string[],
  { field, specialTokens, verify }: LossOptions,
  rows: BadRows,
  model: { readonly folder: string; readonly vocabSize: number },
): Promise<ScoredText> {
  const folders = paths.filter(path => existsSync(join(path, 'index.json')));
  if (folders.length > 1 || (folders.length === 1 && paths.length > 1)) {
    throw new UserError(`'${name}' has '${folders[0]}' and more: a token folder is a name of its own`);
  }
  if (folders[0] && verify) await checkDataFolder(folders[0], file => !/^train-/.test(file));
  const text = folders[0]
    ? await readHeldOutText(folders[0], model)
    : await encodeScoredText(findInputFiles(paths), field, TextTokenizer.load(join(model.folder, 'tokenizer.json')), {
        specialTokens,
        rows,
      });
  if (text.ids.length < 2) throw new UserError(`'${name}' has ${text.ids.length} token(s); a loss needs at least 2`);
  if (text.bytes === 0) throw new UserError(`'${name}' has no text between its documents' marks`);
  return text;
}

async function withProgress(terminal: Terminal, name: string, evaluator: TokenLosses, text: ScoredText) {
  const progress = terminal.progress(name, Math.ceil((text.ids.length - 1) / evaluator.shape.T), 'sequences');
  let done = 0;
  try {
    return await textLoss(evaluator, text, scored => {
      done += scored;
      progress.update(done);
    });
  } finally {
    progress.stop();
  }
}

function lossTable(losses: Readonly<Record<string, TextLoss>>): string {
  const table = makeTable(['data', 'loss', 'perplexity', 'bits per byte', 'tokens', 'bytes']);
  for (const [name, { loss, perplexity, bitsPerByte, tokens, bytes }] of Object.entries(losses)) {
    table.push([name, loss.toFixed(4), perplexity.toFixed(2), bitsPerByte.toFixed(4), short(tokens), short(bytes)]);
  }
  return table.toString();
}
