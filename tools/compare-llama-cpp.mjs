/**
 * Exports a model as GGUF and compares what llama.cpp makes of it with what is computed here: the tokens of a text, the
 * logits behind each, and the continuation by the most likely tokens.
 *
 *   npm run --silent build && node tools/compare-llama-cpp.mjs MODEL TEXT [--dtype f32|f16|bf16] [--length 128]
 *     [--tokens 32] [--llama-cpp runs/llama-cpp]
 *
 * MODEL is what `export --model` takes, TEXT a file, of which --length tokens go through the model. llama.cpp is that
 * of the npm package node-llama-cpp in the folder --llama-cpp; where it is not there, the message says how to install
 * it.
 * The exit status is 1 when something differs by more than rounding explains.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import {
  exportGguf,
  exportModel,
  findModelFolder,
  generate,
  loadModel,
  logits,
  openDevice,
  TextTokenizer,
} from '../dist/src/index.js';

const VERSION = '3.22.1';
/** @type {Readonly<Record<string, 'F32' | 'F16' | 'BF16'>>} */
const TYPES = { f32: 'F32', f16: 'F16', bf16: 'BF16' };
/** The relative error of a number of each type. llama.cpp rounds what it multiplies with a matrix to the matrix's. */
const ROUNDING = { f32: 2 ** -24, f16: 2 ** -11, bf16: 2 ** -8 };
/** How much norms and attention may add to the errors of their inputs. */
const AMPLIFICATION = 4;
/** The positions that llama.cpp evaluates at once, each of which gives a map of all logits. */
const AT_ONCE = 16;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    dtype: { type: 'string', default: 'f32' },
    length: { type: 'string', default: '128' },
    tokens: { type: 'string', default: '32' },
    'llama-cpp': { type: 'string', default: 'runs/llama-cpp' },
  },
});
const [given, textFile] = positionals;
if (!given || !textFile) throw new Error('name a model and a file of text');
const type = TYPES[options.dtype];
if (!type) throw new Error(`--dtype: '${options.dtype}' is none of ${Object.keys(TYPES).join(', ')}`);
const [length, maxTokens] = [Number(options.length), Number(options.tokens)];
const { getLlama } = await import(nodeLlamaCpp(options['llama-cpp']));

const text = readFileSync(textFile, 'utf8');
const from = findModelFolder(given);
const folder = mkdtempSync(join(tmpdir(), 'babelgrad-llama-cpp-'));
try {
  await exportModel(from, join(folder, 'hf'), { type }); // so that both have the same rounded weights
  await exportGguf(from, join(folder, 'gguf'), { type });
  const tokenizer = TextTokenizer.load(join(folder, 'hf/tokenizer.json'));
  const theirs = await openLlamaCpp(join(folder, 'gguf/model.gguf'));
  const device = await openDevice();
  const model = await loadModel(device, join(folder, 'hf'), { trainable: false });
  const prompt = (await tokenizer.encodePrompt(text)).slice(0, length);

  const rows = [...(await tokenRows(tokenizer, theirs.model)), beginRow(tokenizer, theirs.model)];
  const { row, bound, details } = await compareLogits(model, prompt, theirs);
  rows.push(row, ...details, await continuationRow(model, tokenizer, prompt, theirs, bound));
  console.log(`${from} as ${options.dtype}, on ${device.adapter.name} and by llama.cpp ${theirs.release}`);
  console.table(rows);
  if (rows.some(({ equal }) => equal === 'NO')) process.exitCode = 1;
  await theirs.close();
  model.destroy();
  device.close();
} finally {
  rmSync(folder, { recursive: true });
}

/** Returns the address of the package in a folder. @throws an error that says how to install it. */
function nodeLlamaCpp(where) {
  const main = resolve(where, 'node_modules/node-llama-cpp/dist/index.js');
  if (existsSync(main)) return pathToFileURL(main).href;
  throw new Error(
    `'${where}' has no node-llama-cpp; install it there with\n` +
      `npm install --prefix ${where} --ignore-scripts --omit=optional node-llama-cpp@${VERSION} ` +
      `@node-llama-cpp/linux-x64@${VERSION}\n(85 MB; in place of linux-x64 the package of this machine)`,
  );
}

function rowOf(what, result, isEqual) {
  return { what, result, equal: isEqual === undefined ? '' : isEqual ? 'yes' : 'NO' };
}

function firstDifference(a, b) {
  const place = [...a, undefined].findIndex((id, i) => id !== b[i]);
  return place >= 0 ? place : undefined;
}

async function tokenRows(tokenizer, theirModel) {
  const rows = [];
  for (const specialTokens of ['text', 'tokens']) {
    const ids = await tokenizer.encode(text, { specialTokens });
    const others = theirModel.tokenize(text, specialTokens === 'tokens');
    const place = firstDifference(ids, others);
    const near = (list, at) => JSON.stringify(theirModel.detokenize(list.slice(Math.max(0, at - 2), at + 3), true));
    const result =
      place === undefined
        ? ids.length
        : `from ${place + 1} of ${ids.length}: ${near(ids, place)}, ${near(others, place)}`;
    rows.push(rowOf(`tokens, special ones as ${specialTokens}`, result, place === undefined));
  }
  return rows;
}

function beginRow({ startIds }, { tokens }) {
  const others = tokens.shouldPrependBosToken ? [tokens.bos] : [];
  return rowOf('what begins a text', `[${startIds}], [${others}]`, `${startIds}` === `${others}`);
}

/** Compares the logits behind each token; `bound` is on their differences, as a root mean square. */
async function compareLogits(model, prompt, theirs) {
  const { vocabSize: V, numHiddenLayers, hiddenSize, intermediateSize } = model.config;
  const T = prompt.length;
  const own = await logits(model, Uint32Array.from(prompt), { B: 1, T });
  let [squares, spread, largest, same] = [0, 0, 0, 0];
  await theirs.evaluate(prompt, (t, others) => {
    const row = own.subarray(t * V, (t + 1) * V);
    const mean = row.reduce((sum, value) => sum + value, 0) / V;
    for (const [id, value] of row.entries()) {
      const difference = Math.abs(value - others.get(id));
      largest = Math.max(largest, difference);
      squares += difference ** 2;
      spread += (value - mean) ** 2;
    }
    const [mostLikely] = others.keys(); // the map is sorted
    // a vocabulary is too large for Math.max
    if (row[mostLikely] === row.reduce((most, value) => Math.max(most, value))) same++;
  });
  const relative = Math.sqrt(squares / spread);
  // long sums, and angles of the rotation: positions are T / 2 on average, and frequencies about a half
  const isGelu = model.config.hiddenAct === 'gelu_pytorch_tanh';
  const rounding = Math.max(ROUNDING[options.dtype], isGelu ? ROUNDING.f16 : 0); // its GELU is a table of halves
  const inexact = rounding + (Math.sqrt(Math.max(hiddenSize, intermediateSize)) + T / 4) * ROUNDING.f32;
  // four matrix products in a row in each layer, and the head
  const bound = AMPLIFICATION * inexact * Math.sqrt(4 * numHiddenLayers + 1);
  const shown = `${relative.toExponential(1)} of their spread, bound ${bound.toExponential(1)}`;
  return {
    row: rowOf(`error of the logits behind ${T} tokens`, shown, relative <= bound),
    bound: bound * Math.sqrt(spread / (T * V)),
    details: [
      rowOf('  the largest difference', largest.toExponential(1)),
      rowOf('  the most likely token is the same', `${same} of ${T}`),
    ],
  };
}

/** Where the continuations part, the two tokens must be so near to each other that rounding decides. */
async function continuationRow(model, tokenizer, prompt, theirs, bound) {
  const what = `the ${maxTokens} most likely tokens after them`;
  const settings = { maxTokens, temperature: 0 };
  const { results } = await generate(model, [prompt], ids => tokenizer.decode(ids), settings);
  const [{ ids }] = results;
  const others = await theirs.continue(prompt, maxTokens);
  const place = firstDifference(ids, others);
  if (place === undefined) return rowOf(what, 'the same', true);
  const before = [...prompt, ...ids.slice(0, place)];
  const all = await logits(model, Uint32Array.from(before), { B: 1, T: before.length });
  const last = all.subarray(-model.config.vocabSize);
  const lead = last[ids[place]] - last[others[place]];
  const shown = `others from ${place + 1}, ${lead.toExponential(1)} apart, bound ${(2 * bound).toExponential(1)}`;
  return rowOf(what, shown, lead <= 2 * bound);
}

/** Loads a GGUF file into llama.cpp on the CPU, where keys and values are kept in f32. */
async function openLlamaCpp(modelPath) {
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, logLevel: 'error' });
  const model = await llama.loadModel({ modelPath });
  const context = await model.createContext({
    contextSize: length + maxTokens,
    threads: 1, // several wait for each other by spinning
    flashAttention: false,
    experimentalKvCacheKeyType: 'F32',
    experimentalKvCacheValueType: 'F32',
  });
  const sequence = context.getSequence();
  return {
    model,
    release: llama.llamaCppRelease.release,
    close: () => llama.dispose(),
    /** Tells each token's place and the logits behind it, by id from the most likely on. */
    async evaluate(ids, onLogits) {
      await sequence.clearHistory();
      for (let first = 0; first < ids.length; first += AT_ONCE) {
        const part = ids.slice(first, first + AT_ONCE).map(id => [id, { generateNext: { logits: true } }]);
        const outputs = await sequence.controlledEvaluate(part);
        for (const [i, { next }] of outputs.entries()) onLogits(first + i, next.logits);
      }
    },
    async continue(ids, count) {
      await sequence.clearHistory();
      if (ids.length > 1) await sequence.controlledEvaluate(ids.slice(0, -1));
      const found = [];
      for (let id = ids.at(-1); found.length < count; found.push(id)) {
        const [output] = await sequence.controlledEvaluate([[id, { generateNext: { token: true } }]]);
        id = output.next.token;
      }
      return found;
    },
  };
}
