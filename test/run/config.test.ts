/** Fields of a run: from YAML and from code. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { UserError } from '../../src/errors.js';
import { parseConfig, parseFields } from '../../src/run/config.js';
import { batchOf, newModel } from '../../src/run/resolve.js';
import { readYaml } from '../../src/run/yaml.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-config-'));
afterAll(() => rmSync(root, { recursive: true }));

/** The configuration in a YAML file of a folder, a source and some more lines. */
function read(...lines: string[]) {
  const path = join(root, 'run.yaml');
  writeFileSync(path, ['out: x', ...lines].join('\n'));
  return parseConfig({ sources: [{ name: 'en', path: 'en' }], ...readYaml(path) }, "'run.yaml'");
}

test('what is wrong with a configuration in code is said of it', () => {
  expect(() => parseConfig({ out: 1 })).toThrow(/^the configuration: field 'out' is 1: it must be/);
});

test('a number with underscores is read where text or true may stand in its place', () => {
  const { parameterGroups } = read('parameterGroups: [{ match: ["*"], from: 2_000 }, { match: ["*"], newRows: 5_0 }]');
  expect(parameterGroups).toEqual([
    { match: ['*'], from: 2000 },
    { match: ['*'], newRows: 50 },
  ]);
});

test.each([
  [
    'parameterGroups: [{ match: ["*"], decay: 0 }]',
    /'decay' in parameterGroups.0; the fields are match, learningRate,/,
  ],
  ['lora: { rank: 4, alfa: 8 }', /unknown field 'alfa' in lora; did you mean 'alpha'\?/],
  ['sources: [{ name: en, path: en, wieght: 1 }]', /unknown field 'wieght' in sources.0; did you mean 'weight'\?/],
  [
    'sources: [{ name: en, path: en, weight: [{ until: 1, weight: 1, wight: 1 }] }]',
    /unknown field 'wight' in sources.0.weight.0; did you mean 'weight'\?/,
  ],
])('%s: the fields of that place are named', (line, message) => {
  expect(() => read(line)).toThrow(message);
});

test('biases and norms of Q and K, which no architecture has both of, are refused together', () => {
  const model = (fields: Record<string, unknown>) => newModel(parseFields({ preset: 'tiny', ...fields }, 'x'), 300);
  expect(model({ qkvBias: true })).toMatchObject({ qkvBias: true });
  expect(model({ qkNorm: true })).toMatchObject({ qkNorm: true });
  const gemma = { qkNorm: true, normPlacement: 'both', normUnitOffset: true, hiddenAct: 'gelu_pytorch_tanh' };
  expect(model({ ...gemma, scaledEmbeddings: true })).toMatchObject(gemma);
  const caps = { attnLogitSoftcapping: 50, finalLogitSoftcapping: 30 };
  const gemma2 = { ...gemma, qkNorm: false, scaledEmbeddings: true, ...caps };
  expect(model(gemma2)).toMatchObject(caps);
  expect(() => model(caps)).toThrow(/attnLogitSoftcapping is 50, which a model of type llama does not have/);
  expect(() => model({ ...gemma2, finalLogitSoftcapping: -30 })).toThrow(
    /finalLogitSoftcapping.* from 0.001 to 1000000/,
  );
  expect(() => model(gemma)).toThrow(
    /qkNorm, normPlacement both, hiddenAct gelu_pytorch_tanh, normUnitOffset and no more/,
  );
  expect(() => model({ qkvBias: true, qkNorm: true })).toThrow(
    /no family of models that is known has qkvBias, qkNorm and no more of these; .*qkNorm \(Qwen3\)/,
  );
});

test('sizes are refused by arithmetic, before anything is made of them', () => {
  const model = (fields: Record<string, unknown>) => newModel(parseFields({ preset: 'tiny', ...fields }, 'x'), 300);
  expect(() => model({ numHiddenLayers: 1e9 })).toThrow(/numHiddenLayers is 1000000000; it must be at most 10000/);
  expect(() => model({ hiddenSize: 2 ** 40 })).toThrow(/would take about .* bytes, which nothing can hold/);
  expect(() => model({ preset: 'constructor' })).toThrow(/no model preset 'constructor'/);
  const sizes = { contextLength: 1, batchTokens: Number.MAX_SAFE_INTEGER };
  expect(batchOf(sizes, model({}), 2 ** 30).microBatch).toBeLessThanOrEqual(8192);
});

describe('a weight in stages', () => {
  const sources = (weight: string) => `sources: [{ name: en, path: en, weight: ${weight} }]`;

  test('is a list, whose numbers may have underscores', () => {
    const { sources: found } = read(sources('[{ until: 0.5, weight: 1_0 }, { until: 1, weight: 2, to: 1 }]'));
    expect(found[0]!.weight).toEqual([
      { until: 0.5, weight: 10 },
      { until: 1, weight: 2, to: 1 },
    ]);
  });

  test.each([
    ['[]', /field 'sources.0.weight' is \[\]: the last stage must go until 1/],
    ['[{ until: 0.5, weight: 1 }]', /field 'sources.0.weight' is .*: the last stage must go until 1, .* until 0.5/],
    ['[{ until: 0.5, weight: 1 }, { until: 0.2, weight: 1 }]', /grows from stage to stage, up to 1, and 0.2 follows/],
    ['[{ until: 2, weight: 1 }]', /up to 1, and 2 follows 0/],
    ['[{ until: 1, weight: -1 }]', /the weight of a stage must be 0 or more, not -1/],
    ['[{ until: 1, weight: abc }]', /field 'sources.0.weight.0.weight' is "abc": it must be a number/],
    ['[{ until: 1, weigth: 1 }]', /field 'sources.0.weight.0.weight' is missing/],
    ['[{ until: 1, weight: 1, ramp: linear }]', /unknown field 'ramp' in sources.0.weight.0/],
    ['{ until: 1, weight: 1 }', /field 'sources.0.weight' is \{/],
    ['0', /field 'sources.0.weight' is 0: it must be /],
  ])('that is none: %s', (weight, message) => {
    expect(() => read(sources(weight))).toThrow(message);
    expect(() => read(sources(weight))).toThrow(UserError);
  });
});

describe('YAML that a parser would', () => {
  const many = (count: number, line: (i: number) => string) => Array.from({ length: count }, (_, i) => line(i));
  test.each([
    ['take long over: keys', many(20_000, i => `k${i}: 1`).join('\n'), /has 19999 lines and commas; .* at most/],
    ['take long over: characters', 'a'.repeat(2e6), /has 2000000 characters; .* at most/],
    ['overflow on', `a: ${'['.repeat(10_000)}`, /Maximum call stack size exceeded at line 1/],
    ['expand', `a: &a [1, 1]\n${many(20, i => `b${i}: &b${i} [*${i ? `b${i - 1}` : 'a'}, *a]`).join('\n')}`, /alias/],
    ['miss an anchor of', 'a: *b', /Unresolved alias .*: b$/],
    ['warn of', 'a: !tag b', /Unresolved tag: !tag at line 1, column 4$/],
    ['refuse: two documents', 'a: 1\n---\nb: 1', /multiple documents/],
    ['refuse: a key twice', 'a: 1\na: 2', /Map keys must be unique at line 2/],
  ])('%s', (_, text, message) => {
    const path = join(root, 'bad.yaml');
    writeFileSync(path, text);
    const error = thrownBy(() => readYaml(path));
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toMatch(/^'.*bad.yaml'[^\n]+$/);
  });
});

const thrownBy = (body: () => unknown): unknown => {
  try {
    return body();
  } catch (error) {
    return error;
  }
};

describe('a number in YAML', () => {
  test.each([
    ['20_000', 20_000],
    ['1_000_000.5', 1_000_000.5],
    ['1_0e3', 10_000],
    ['"20_000"', 20_000],
    ['1e6', 1e6],
    ['20000', 20_000],
  ])('%s', (text, tokens) => {
    expect(read(`tokens: ${text}`).tokens).toBe(tokens);
  });

  test('that is whole, or of a list', () => {
    const config = read(
      'name: 2026_08',
      'batchTokens: 4_096',
      'seed: 1_0',
      'sources: [{ name: 1_0, path: en, weight: 1_0 }]',
    );
    expect(config).toMatchObject({ name: '2026_08', batchTokens: 4096, seed: 10 });
    expect(config.sources).toEqual([{ name: '1_0', path: 'en', weight: 10 }]);
  });

  test.each([
    ['tokens: abc', /^'run.yaml': field 'tokens' is "abc": it must be a number/],
    ['tokens: 20_', /^'run.yaml': field 'tokens' is "20_"/],
    ['tokens: _20', /^'run.yaml': field 'tokens' is "_20"/],
    ['tokens: "20"', /^'run.yaml': field 'tokens' is "20"/],
    ['tokens: -20_000', /^'run.yaml': field 'tokens' is -20000: it must be /],
    ['seed: 1_0.5', /^'run.yaml': field 'seed' is 10.5/],
    ['batchTokens: 1_0\nsources: [{ name: en, path: en, weight: abc }]', /field 'sources.0.weight' is "abc"/],
  ])('that is none: %s', (line, message) => {
    expect(() => read(line)).toThrow(message);
    expect(() => read(line)).toThrow(UserError);
  });
});
