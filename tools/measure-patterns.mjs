// Bytes per token of tokenizers trained with the default pattern and with GPT-2's, on the same text with the same size.
//
//   npm run --silent build && node tools/measure-patterns.mjs [--vocab-size 4096] [hi=runs/text/hi.jsonl:Devanagari
//   ...]
//
// Measures the project's sample (English with French), its lines with numbers, the numbers alone, and the project's
// TypeScript; further texts by name, of which, behind a colon, only the lines mostly in one script count.
// `tools/help-text.mjs` makes such texts.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { GPT2_PATTERN, WORD_PATTERN } from '../dist/src/data/patterns.js';
import { trainTokenizer } from '../dist/src/index.js';

const { values, positionals } = parseArgs({
  options: { 'vocab-size': { type: 'string', default: '4096' } },
  allowPositionals: true,
});
const textsOf = lines =>
  lines
    .trim()
    .split('\n')
    .map(line => JSON.parse(line).text)
    .join('\n');
const sample = language => textsOf(gunzipSync(readFileSync(`src/demo/text/${language}.jsonl.gz`)).toString());
const [english, french] = [sample('en'), sample('fr')];
const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.ts'))
  .sort();
const code = sources.map(file => readFileSync(join('src', file), 'utf8')).join('\n');
const both = `${english}\n${french}`;
const withNumbers = both
  .split('\n')
  .filter(line => /\d/.test(line))
  .join('\n');
const numbers = [...both.matchAll(/ ?\d[\d.,]*/g)].join('');

/**
 * What a tokenizer is trained on, and what is measured with it.
 * @type {{ name: string, text: string, parts: Record<string, string> }[]}
 */
const sets = [{ name: 'sample', text: `${both}\n${code}`, parts: { english, french, withNumbers, numbers, code } }];
for (const given of positionals) {
  const [, name, path, script] = /^(.+?)=(.+?)(?::(\w+))?$/.exec(given) ?? [];
  const isMostly = line => {
    const letters = line.match(/[\p{L}\p{M}]/gu)?.length ?? 0;
    return (line.match(new RegExp(`\\p{Script=${script}}`, 'gu'))?.length ?? 0) * 2 > letters;
  };
  const all = textsOf(readFileSync(path, 'utf8'));
  const text = script ? all.split('\n').filter(isMostly).join('\n') : all;
  sets.push({ name, text, parts: { [name]: text } });
}

const folder = mkdtempSync(join(tmpdir(), 'patterns-'));
try {
  console.log(`${'text'.padEnd(12)} ${'bytes'.padStart(9)}   GPT-2's   default`);
  for (const { name, text, parts } of sets) {
    const file = join(folder, `${name}.txt`);
    writeFileSync(file, text);
    const perToken = {};
    for (const [kind, pattern] of Object.entries({ gpt2: GPT2_PATTERN, own: WORD_PATTERN })) {
      const out = join(folder, `${name}-${kind}.json`);
      const options = { vocabSize: Number(values['vocab-size']), field: 'text', out, pattern };
      const tokenizer = await trainTokenizer([file], options);
      for (const [part, of] of Object.entries(parts)) {
        perToken[part] = { ...perToken[part], [kind]: Buffer.byteLength(of) / (await tokenizer.encode(of)).length };
      }
    }
    for (const [part, { gpt2, own }] of Object.entries(perToken)) {
      const bytes = String(Buffer.byteLength(parts[part])).padStart(9);
      console.log(`${part.padEnd(12)} ${bytes} ${gpt2.toFixed(3).padStart(9)} ${own.toFixed(3).padStart(9)}`);
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
