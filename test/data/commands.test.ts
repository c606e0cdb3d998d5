import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { makeProgram } from '../../src/cli/program.js';
import { temporaryFolder } from './temporary.js';

const { folder, write } = temporaryFolder();
const text = write('text.jsonl', '{"body": "some words and some words"}\n'.repeat(50));
const tokenizer = join(folder, 'tokenizer.json');

let stdout = '';
let stderr = '';
beforeEach(() => {
  stdout = '';
  stderr = '';
  vi.spyOn(process.stdout, 'write').mockImplementation(chunk => {
    stdout += chunk;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation(chunk => {
    stderr += chunk;
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

async function run(...parameters: string[]): Promise<void> {
  await makeProgram('0.0.0').parseAsync(parameters, { from: 'user' });
}
const train = (size: string, out: string, ...more: string[]) =>
  run('tokenizer', 'train', text, '--field', 'body', '--vocab-size', size, '--out', out, ...more);

describe('the commands', () => {
  test('train a tokenizer and make shards with it, with one JSON object on stdout', async () => {
    await train('262', tokenizer, '--json');
    expect(JSON.parse(stdout)).toMatchObject({ path: tokenizer, vocabSize: 262, separatorId: 0, files: [text] });
    stdout = '';
    const out = join(folder, 'tokens');
    await run('tokenize', folder, '--field', 'body', '--tokenizer', tokenizer, '--out', out, '--held-out-tokens', '10');
    expect(stdout).toMatch(
      /tokens: \d+ training tokens in 1 shard\(s\), 10 held out, 50 documents, \d\.\d\d bytes per token/,
    );
    expect(JSON.parse(readFileSync(join(out, 'index.json'), 'utf8'))).toMatchObject({ heldOut: { tokens: 10 } });
    expect(process.exitCode).toBeUndefined();
  });

  test('a pattern is taken by the name of whose it is', async () => {
    const out = join(folder, 'qwen.json');
    await train('262', out, '--pattern', 'qwen2');
    await train('262', join(folder, 'never.json'), '--pattern', 'GPT2');
    expect(stderr).toMatch(/--pattern GPT2 is no pattern by name; there are gpt2, qwen2/);
    expect(process.exitCode).toBe(2);
    const [{ pattern }] = JSON.parse(readFileSync(out, 'utf8')).pre_tokenizer.pretokenizers;
    // as in the tokenizer.json of Qwen2.5
    expect(pattern.Regex).toBe(
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" +
        '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
    );
  });

  test('bad rows are errors, or are left out and told', async () => {
    const bad = write(
      'bad-rows.jsonl',
      '{"body": "some words"}\n{"body": null}\n{"body": ""}\n{"body": "words", "n": NaN}\n',
    );
    const [made, out] = [join(folder, 'of-bad.json'), join(folder, 'bad-tokens')];
    const commands = [
      ['tokenizer', 'train', bad, '--field', 'body', '--vocab-size', '257', '--out', made],
      ['tokenize', bad, '--field', 'body', '--tokenizer', made, '--out', out, '--held-out-tokens', '0'],
    ];
    for (const command of commands) {
      await run(...command, '--on-bad-row', 'skip', '--json');
      expect(JSON.parse(stdout)).toMatchObject({
        badRows: { count: 1, first: [{ file: bad, unit: 'line', number: 2 }] },
        emptyDocuments: 1,
      });
      expect(stderr).toContain(`1 bad row(s) left out: '${bad}' line 2; 1 empty document(s) left out\n`);
      [stdout, stderr] = ['', ''];
    }
    for (const command of commands) {
      const elsewhere = command.with(command.indexOf('--out') + 1, join(folder, 'never'));
      await run(...elsewhere);
      expect(stderr).toMatch(/^error: '.*bad-rows.jsonl' line 2 has no text in its field 'body'.*--on-bad-row skip$/m);
      expect(process.exitCode).toBe(2);
      [stderr, process.exitCode] = ['', undefined];
    }
  });

  test('say what stands around documents, and count special tokens that are spelled out', async () => {
    const spelled = write('spelled.jsonl', '{"body": "some <|endoftext|> words"}\n'.repeat(3));
    const own = write(
      'own.json',
      JSON.stringify(JSON.parse(readFileSync(tokenizer, 'utf8'))).replaceAll('endoftext', 'bos'),
    );
    const tokenize = (out: string, from: string, ...more: string[]) =>
      run(
        'tokenize',
        spelled,
        '--field',
        'body',
        '--tokenizer',
        from,
        '--out',
        join(folder, out),
        '--held-out-tokens',
        '0',
        ...more,
      );
    await tokenize('as-text', tokenizer);
    expect(stdout).toContain('documents end with <|endoftext|>\n');
    expect(stderr).toContain('spelled out 3 times in the text and were taken as plain text; --special-tokens tokens');
    [stdout, stderr] = ['', ''];
    await tokenize('as-tokens', tokenizer, '--special-tokens', 'tokens', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      separatorId: 0,
      startIds: [],
      specialTokens: { as: 'tokens', spelled: 3 },
    });
    [stdout, stderr] = ['', ''];
    await tokenize('bos', own, '--bos', 'yes');
    expect(stdout).toContain('documents begin with <|bos|> and end with <|bos|>\n');
    await tokenize('none', tokenizer, '--separator', '<eos>');
    expect(stderr).toMatch(
      /^error: '.*' has no token|^error: .*the tokenizer has no token '<eos>' to end documents with/m,
    );
    expect(process.exitCode).toBe(2);
  });

  test("train within a pattern of one's own, and refuse one that is none", async () => {
    const out = join(folder, 'pairs.json');
    const pattern = String.raw`\p{L}{1,2}`;
    await train('260', out, '--pattern', pattern);
    const { model, pre_tokenizer } = JSON.parse(readFileSync(out, 'utf8'));
    expect(pre_tokenizer.pretokenizers[0].pattern).toEqual({ Regex: pattern });
    expect(model.merges).toHaveLength(3);
    for (const merge of model.merges) expect(merge.join('')).toMatch(/^[a-z]{2}$/);
    await train('260', join(folder, 'never.json'), '--pattern', '(');
    expect(stderr).toMatch(/^error: the pattern '\(' is no regular expression: /m);
    expect(process.exitCode).toBe(2);
  });

  test('a tokenizer that is there already is left as it is, and the text is not read', async () => {
    const kept = write('kept.json', 'of value');
    await train('262', kept);
    expect(stderr).toBe(`error: '${kept}' exists already; choose another file or remove it\n`);
    expect(process.exitCode).toBe(2);
    expect(readFileSync(kept, 'utf8')).toBe('of value');
  });

  test.each(['abc', '', '3.5', '-1', '300x'])("--vocab-size '%s' is refused", async size => {
    await expect(train(size, tokenizer)).rejects.toThrow(/vocab-size .*must be a whole number of at least 1/);
  });

  test('a fault of the input ends with status 2', async () => {
    await train('5000', join(folder, 'large.json'));
    expect(stderr).toMatch(/^error: training on this text reaches a vocabulary of \d+ entries, not 5000/m);
    expect(process.exitCode).toBe(2);
  });
});
