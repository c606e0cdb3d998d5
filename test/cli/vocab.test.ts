/** From a model to one with a larger vocabulary, trained on, and compared per byte with one of the old vocabulary. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCommand } from '../support/command.js';
import { sampleText } from '../support/text.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-vocab-'));
const babelgrad = (line: string) => runCommand(root, line.split(' '));
const json = async (line: string) => {
  const { status, stdout, stderr } = await babelgrad(`${line} --json`);
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
};
const sizes = '--hidden-size 32 --intermediate-size 48 --num-hidden-layers 1 --num-attention-heads 2';
const batches = '--context-length 32 --batch-tokens 128 --tokens 1280 --eval-tokens 300 --deterministic';

beforeAll(async () => {
  writeFileSync(join(root, 'en.txt'), sampleText(0, 4000));
  writeFileSync(join(root, 'fr.txt'), sampleText(1, 4000));
  await json('tokenizer train en.txt --vocab-size 290 --out tokenizer.json');
  for (const language of ['en', 'fr']) {
    await json(`tokenize ${language}.txt --tokenizer tokenizer.json --out ${language} --held-out-tokens 300`);
  }
  await json(`train ${sizes} ${batches} --source en=en --out runs/en`);
});
afterAll(() => rmSync(root, { recursive: true }));

describe('vocab extend', () => {
  test('adds tokens of a new language, of which its text takes fewer, and the model goes on with them', async () => {
    const made = await json(
      'vocab extend --model runs/en --train fr.txt --add 30 --out extended --text fr=fr.txt --text en=en.txt',
    );
    expect(made).toMatchObject({ path: 'extended', added: 30, vocabSize: { before: 290, after: 320 }, init: 'mean' });
    const { fr, en } = made.bytesPerToken as Record<string, { before: number; after: number }>;
    expect(fr!.after).toBeGreaterThan(1.3 * fr!.before);
    expect(en!.after).toBeGreaterThanOrEqual(en!.before);

    for (const language of ['fr', 'en']) {
      const tokenize = `tokenize ${language}.txt --tokenizer extended/tokenizer.json --held-out-tokens 200`;
      await json(`${tokenize} --out ${language}-extended`);
    }
    const scratch = await json(`train ${sizes} ${batches} --source fr=fr --out runs/fr`);
    const freeze = '--freeze-body-tokens 512 --schedule infinite --checkpoint-every-tokens 640';
    const both = '--held-out fr=fr-extended --held-out en=en-extended';
    const cpt = await json(`cpt --from extended ${batches} --source fr=fr-extended ${both} --out runs/cpt ${freeze}`);
    for (const [run, data, { heldOut }] of [['fr', 'fr', scratch] as const, ['cpt', 'fr-extended', cpt] as const]) {
      const own = (heldOut as Record<string, Record<'loss' | 'tokens' | 'bytes' | 'bitsPerByte', number>>).fr!;
      const evaluated = await json(`eval loss --model runs/${run} --data ${data} --context-length 32`);
      const found = (evaluated.losses as Record<string, typeof own>)[data]!;
      expect(found).toMatchObject({ tokens: own.tokens, bytes: own.bytes });
      expect(found.loss).toBeCloseTo(own.loss, 5);
      expect(found.bitsPerByte).toBeCloseTo(own.bitsPerByte, 5);
    }
    const { savings } = await json('report runs/fr runs/cpt');
    expect(savings).toEqual([expect.objectContaining({ unit: 'bits per byte' })]);
    const { stdout } = await babelgrad('report runs/fr runs/cpt');
    expect(stdout).toMatch(/fr bits\/byte/);

    // the extended folder and the run know where they come from
    const forgetting = await json('eval forgetting runs/cpt');
    expect(forgetting).toMatchObject({
      unit: 'bits per byte',
      runs: [{ run: 'cpt', source: 'en', target: 'fr', unit: 'bits per byte' }],
    });
    const table = (await babelgrad('eval forgetting runs/cpt')).stdout;
    expect(table).toMatch(/source loss \(bits\/byte\)/);
    expect(table).toMatch(/what the extension itself changed is in no change here/);
    await json('vocab extend --model extended --train fr.txt --add 5 --out twice');
    await json('export --model twice --dtype f16 --out exported');
    const recordOf = (folder: string) =>
      JSON.parse(readFileSync(join(root, folder, 'training.json'), 'utf8')) as object;
    expect(recordOf('exported')).toMatchObject({ run: 'en', tokens: 1280, sources: [{ name: 'en', weight: 1 }] });
    expect(recordOf('twice')).toEqual(recordOf('exported'));
    const { firstNewToken, ...rest } = recordOf('extended') as { firstNewToken: number };
    expect(recordOf('twice')).toEqual({ ...rest, firstNewToken: expect.any(Number) });
    expect((recordOf('twice') as { firstNewToken: number }).firstNewToken).toBeGreaterThan(firstNewToken);

    const branch = `cpt --from runs/cpt/checkpoints/step-00000005 --source fr=fr-extended ${batches} --schedule anneal`;
    expect(await json(`${branch} --out runs/branch --dry-run`)).toMatchObject({ steps: 10, notes: [] });
    expect(await json(`${branch} --out runs/branch`)).toMatchObject({ status: 'done' });
    expect(Object.keys(await json('report runs/cpt runs/branch'))).toContain('savings');
  });

  test('leaves out bad rows where that is asked for, and so does eval loss', async () => {
    const rows = [JSON.stringify({ text: sampleText(1, 2000), score: 1 }), 'null', '{"text": ""}'];
    writeFileSync(join(root, 'rows.jsonl'), rows.join('\n').replace('1}', 'NaN}'));
    const left = {
      badRows: { count: 1, first: [{ file: 'rows.jsonl', unit: 'line', number: 2, why: 'is not a JSON object' }] },
      emptyDocuments: 1,
    };
    const extend = 'vocab extend --model runs/en --train rows.jsonl --add 10 --text fr=rows.jsonl';
    const made = await json(`${extend} --on-bad-row skip --out skipped`);
    expect(made).toMatchObject({ added: 10, ...left, bytesPerToken: { fr: left } });
    const loss = 'eval loss --model runs/en --data rows.jsonl --context-length 32';
    expect(await json(`${loss} --on-bad-row skip`)).toMatchObject({ losses: { rows: {} }, ...left });
    for (const line of [`${extend} --out never`, loss]) {
      const { status, stderr } = await babelgrad(line);
      expect(stderr).toMatch(/'rows.jsonl' line 2 is not a JSON object; mend .* --on-bad-row skip/);
      expect(status).toBe(2);
    }
  });

  test('takes a tokenizer that extends the old one, whose new rows are random', async () => {
    await json('vocab extend --model runs/en --train fr.txt --add 10 --out first');
    const line = 'vocab extend --model runs/en --tokenizer first/tokenizer.json --init random --seed 3 --out second';
    expect(await json(line)).toMatchObject({ added: 10, init: 'random', seed: 3, bytesPerToken: {} });
  });

  const cases: [string, string, RegExp][] = [
    ['neither text nor tokenizer', '', /--train FILES --add N or from --tokenizer FILE: give one of them/],
    ['both', '--train fr.txt --add 5 --tokenizer tokenizer.json', /give one of them/],
    ['text without a number', '--train fr.txt', /--train FILES and --add N go together/],
    ['more than the text gives', '--train fr.txt --add 50000', /the text gives \d+ new tokens that occur twice/],
    ['the same tokenizer', '--tokenizer tokenizer.json', /no more tokens than the model's: nothing to add/],
    ['no such tokenizer', '--tokenizer none.json', /there is no tokenizer 'none.json'/],
    ['text that is not there', '--train fr.txt --add 5 --text de=de.txt', /no file or folder 'de.txt'/],
    ['an unknown init', '--train fr.txt --add 5 --init best', /Allowed choices are mean, random, copy/],
  ];
  test.each(cases)('refuses %s, and writes nothing', async (_, options, message) => {
    const { status, stderr } = await babelgrad(`vocab extend --model runs/en --out bad ${options}`.trim());
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
    expect(existsSync(join(root, 'bad'))).toBe(false);
  });
});
