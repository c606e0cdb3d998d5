import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { predictedBytes, tokenBytes } from '../data/token-bytes.js';
import { UserError } from '../errors.js';
import {
  Evaluator,
  findInputFiles,
  findModelFolder,
  loadModel,
  openDevice,
  PRECISIONS,
  type Precision,
  readDocuments,
  sequencesOf,
  TextTokenizer,
  TokenDataset,
} from '../index.js';
import { short } from '../report/words.js';
import { defineAction, type Terminal } from './command.js';
import { wholeNumber } from './numbers.js';

interface LossOptions {
  model: string;
  data: string[];
  contextLength: number;
  batch: number;
  field: string;
  precision: Precision;
  adapter?: string;
}

/** `eval loss` */
export function addEvalCommand(program: Command): void {
  const group = program.command('eval').description('evaluate models');
  const loss = group
    .command('loss')
    .description('mean loss of a model on text or token shards')
    .requiredOption('--model <checkpoint>', 'checkpoint, model folder, or run (its latest checkpoint)')
    .requiredOption('--data <files-or-folders...>', 'folders made by tokenize (their held-out splits), or text files')
    .option('--context-length <tokens>', 'tokens of a sequence', wholeNumber(1), 128)
    .option('--batch <sequences>', 'sequences that run at once', wholeNumber(1), 8)
    .option('--field <name>', 'field or column that holds the text in .jsonl and .parquet', 'text')
    .addOption(new Option('--precision <type>', 'of matrices and activations').choices(PRECISIONS).default('f32'))
    .option('--adapter <name>', 'adapter, by a part of its name');
  defineAction<LossOptions>(loss, async (terminal, options) => {
    const folder = findModelFolder(options.model);
    const device = await openDevice({ adapter: options.adapter });
    try {
      const model = await loadModel(device, folder, { precision: options.precision });
      const { ids, textBytes } = await readIds(options, folder, model.config.vocabSize);
      if (ids.length < 2) throw new UserError(`the data has ${ids.length} token(s); a loss needs at least 2`);
      const shape = { B: options.batch, T: options.contextLength };
      const evaluator = await Evaluator.create(model, shape);
      const { nats, tokens } = await evaluateWithProgress(terminal, evaluator, sequencesOf(ids, shape.T));
      const mean = nats / tokens;
      const bitsPerByte = nats / Math.LN2 / textBytes;
      terminal.print(
        `loss ${mean.toFixed(4)} nats per token, perplexity ${Math.exp(mean).toFixed(2)}, ${bitsPerByte.toFixed(4)} bits per byte, ` +
          `over ${tokens} tokens of ${textBytes} bytes`,
      );
      return { model: folder, loss: mean, perplexity: Math.exp(mean), bitsPerByte, tokens, bytes: textBytes };
    } finally {
      device.close();
    }
  });
}

/** Evaluates in groups of batches, so that a bar can move. */
async function evaluateWithProgress(terminal: Terminal, evaluator: Evaluator, sequences: Uint32Array) {
  const { B, T } = evaluator.shape;
  const length = B * (T + 1);
  const progress = terminal.progress('evaluate', sequences.length / (T + 1), 'sequences');
  const total = { nats: 0, tokens: 0 };
  for (let start = 0; start < sequences.length; start += length) {
    const { nats, tokens } = await evaluator.loss(sequences.subarray(start, start + length));
    total.nats += nats;
    total.tokens += tokens;
    progress.update(
      Math.min(start + length, sequences.length) / (T + 1),
      `loss ${(total.nats / total.tokens).toFixed(3)}`,
    );
  }
  progress.stop();
  return total;
}

function readHeldOut(folder: string, vocabSize: number): { ids: Uint32Array; bytes: Uint32Array } {
  const dataset = TokenDataset.open(folder);
  try {
    if (dataset.index.vocabSize > vocabSize) {
      throw new UserError(
        `'${folder}' has a vocabulary of ${dataset.index.vocabSize}, larger than the model's of ${vocabSize}`,
      );
    }
    return { ids: dataset.readHeldOut(0, dataset.heldOutTokens), bytes: tokenBytes(dataset.tokenizerJson) };
  } finally {
    dataset.close();
  }
}

function joined(parts: readonly Uint32Array[]): Uint32Array {
  const whole = new Uint32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Ids of the held-out splits of data sets, or of texts through the model's own tokenizer. */
async function readIds({ data, field }: LossOptions, modelFolder: string, vocabSize: number) {
  const folders = data.filter(path => existsSync(join(path, 'index.json')));
  if (folders.length > 0) {
    const other = data.find(path => !folders.includes(path));
    if (other) {
      throw new UserError(
        `'${folders[0]}' holds tokens and '${other}' does not: evaluate token folders and text apart`,
      );
    }
    const sets = folders.map(folder => readHeldOut(folder, vocabSize));
    const ids = joined(sets.map(set => set.ids));
    return { ids, textBytes: predictedBytes(sets[0]!.bytes, ids) };
  }
  const tokenizer = TextTokenizer.load(join(modelFolder, 'tokenizer.json'));
  const ids: number[] = [];
  let textBytes = 0;
  for (const file of findInputFiles(data)) {
    for await (const { text, endOfDocument } of readDocuments(file, field)) {
      for (const id of await tokenizer.encode(text)) ids.push(id);
      if (endOfDocument) ids.push(tokenizer.separatorId);
      textBytes += Buffer.byteLength(text);
    }
  }
  if (ids.length > 2e8)
    throw new UserError(`${short(ids.length)} tokens are too many at once; tokenize the text first`);
  return { ids: Uint32Array.from(ids), textBytes };
}
