/** The commented file of a run: as it is printed, and as `init` makes it from flags or answers. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { configText } from '../../src/cli/config-text.js';
import { CPT_FIELDS } from '../../src/cli/field-flags.js';
import { askFor } from '../../src/cli/init.js';
import { configFields, MODEL_FIELDS, parseConfig } from '../../src/run/config.js';
import { runCommand, tokenizeSample } from '../support/command.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-init-'));
beforeAll(() => tokenizeSample(root));
afterAll(() => rmSync(root, { recursive: true }));

const sources = [{ name: 'en', path: 'data/en' }];
const stages = [
  { until: 0.25, weight: 0.5 },
  { until: 1, weight: 0.25, to: 0 },
];
const taken = (text: string) => parseConfig(parse(text));

test.each([
  { out: 'runs/x', sources, preset: 'mini' },
  { out: 'runs/#2 of: "two"\n', sources: [...sources, { name: 'fr', path: 'a b', weight: stages }], name: 'yes' },
  { out: '1e6', sources, heldOut: { en: 'data/en', no: '~' }, eps: 1e-10, tokens: 1e12, deterministic: true },
])('the text of a configuration is taken back to it: %j', fields => {
  const config = parseConfig(fields);
  for (const from of [undefined, 'runs/en']) expect(taken(configText(config, from))).toEqual(config);
});

test('every field that the verb takes has a line with its words', () => {
  const config = parseConfig({ out: 'runs/x', sources });
  const named = (text: string) => [...text.matchAll(/^(?:# )?(\w+): .*# ./gm)].map(([, field]) => field!);
  const fields = Object.keys(configFields);
  const without = (others: readonly string[]) => fields.filter(field => !others.includes(field)).sort();
  expect(named(configText(config, undefined)).sort()).toEqual(without(CPT_FIELDS));
  expect(named(configText(config, 'runs/en')).sort()).toEqual(without(MODEL_FIELDS));
  // what is given is printed whether or not the verb takes it, so that it is refused in words
  expect(configText(parseConfig({ out: 'x', sources, dataOrder: 'continue' }), undefined)).toContain(
    'dataOrder: continue',
  );
});

test('train --print-config prints what --config takes back, with flags over the file, and starts nothing', async () => {
  const flags = ['--out', 'runs/x', '--source', 'en=en', '--preset', 'tiny', '--tokens', '1_000', '--warmup', '0.1'];
  const printed = await runCommand(root, ['train', ...flags, '--print-config']);
  expect(printed.status, printed.stderr).toBe(0);
  writeFileSync(join(root, 'printed.yaml'), printed.stdout);
  const again = await runCommand(root, ['train', '--config', 'printed.yaml', '--print-config', '--json']);
  expect(JSON.parse(again.stdout)).toMatchObject({ yaml: printed.stdout, config: { tokens: 1000, warmup: 0.1 } });
  expect(existsSync(join(root, 'runs'))).toBe(false);
  const both = await runCommand(root, ['train', ...flags, '--print-config', '--dry-run']);
  expect(both).toMatchObject({ status: 2, stderr: expect.stringContaining('cannot be used with') });
});

test('init writes a file from flags, replaces none, and says what is missing or not there', async () => {
  const data = ['--data', 'en=en'];
  const made = await runCommand(root, ['init', ...data, '--size', 'tiny', '--memory', '2GB', '--json']);
  expect(JSON.parse(made.stdout)).toMatchObject({ path: 'run.yaml', start: 'babelgrad train --config run.yaml' });
  const text = readFileSync(join(root, 'run.yaml'), 'utf8');
  expect(taken(text)).toMatchObject({ out: 'runs/en', preset: 'tiny', memory: '2GB' });
  const cases: [parameters: string[], message: RegExp][] = [
    [[...data, '--size', 'tiny'], /'run.yaml' is there already/],
    [['other.yaml', '--size', 'tiny'], /give --data/],
    [['other.yaml', ...data], /give --size .* or --cpt/],
    [['other.yaml', ...data, '--size', 'gigantic'], /gigantic/],
    [['other.yaml', '--data', 'en=nowhere', '--size', 'tiny'], /nowhere/],
    [['other.yaml', ...data, '--cpt', 'nowhere'], /'nowhere' is neither a checkpoint/],
    [['other.yaml', ...data, '--size', 'tiny', '--memory', 'much'], /memory.*no size such as 24GB/],
    [['other.yaml', ...data, '--size', 'tiny', '--cpt', 'x'], /cannot be used with/],
  ];
  for (const [parameters, message] of cases) {
    expect(await runCommand(root, ['init', ...parameters])).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(message),
    });
  }
  expect(readFileSync(join(root, 'run.yaml'), 'utf8')).toBe(text);
  expect(existsSync(join(root, 'other.yaml'))).toBe(false);
});

test('questions are asked for what is missing, and again where an answer is wrong', async () => {
  const answers = ['nonsense', `en=${join(root, 'en')}`, '', 'gigantic', '', '24 bananas', '24GB', ''];
  const said: string[] = [];
  const asked: string[] = [];
  const ask = async (question: string) => {
    asked.push(question);
    return answers.shift()!;
  };
  const found = await askFor({}, ask, line => said.push(line));
  expect(found).toEqual({
    data: [{ name: 'en', path: join(root, 'en') }],
    size: 'mini',
    memory: '24GB',
    out: 'runs/en',
  });
  expect(said).toHaveLength(3);
  expect(asked).toHaveLength(8);
  const data = [{ name: 'fr', path: join(root, 'en') }];
  expect(await askFor({ data, size: 'tiny' }, async () => '', said.push)).toEqual({
    data,
    size: 'tiny',
    out: 'runs/fr',
  });
});
