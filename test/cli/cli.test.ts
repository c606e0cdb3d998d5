/** The command line as a user meets it: statuses, messages, and JSON on stdout alone. */
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCommand } from '../support/command.js';
import { sampleText } from '../support/text.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-cli-'));

/** Runs the built command line in the temporary folder. */
const babelgrad = (...parameters: string[]) => runCommand(root, parameters);
const babelgradWith = (environment: Record<string, string>, ...parameters: string[]) =>
  runCommand(root, parameters, environment);

beforeAll(() => {
  writeFileSync(join(root, 'en.txt'), sampleText(0, 4000));
  writeFileSync(join(root, 'fr.txt'), sampleText(1, 4000));
});
afterAll(() => rmSync(root, { recursive: true }));

describe('the way from text to a report', () => {
  const json = async (...parameters: string[]) => {
    const { status, stdout, stderr } = await babelgrad(...parameters, '--json');
    expect(status, stderr).toBe(0);
    expect(stdout.trim().split('\n'), 'one line on stdout').toHaveLength(1);
    return JSON.parse(stdout) as Record<string, unknown>;
  };

  test('tokenizer, tokenize, train, cpt, eval, report', async () => {
    expect(
      await json('tokenizer', 'train', 'en.txt', 'fr.txt', '--vocab-size', '280', '--out', 'tokenizer.json'),
    ).toMatchObject({
      vocabSize: 280,
    });
    const trainTokens: Record<string, number> = {};
    for (const language of ['en', 'fr']) {
      const made = await json(
        'tokenize',
        `${language}.txt`,
        '--tokenizer',
        'tokenizer.json',
        '--out',
        language,
        '--held-out-tokens',
        '300',
      );
      expect(made).toMatchObject({ heldOutTokens: 300 });
      trainTokens[language] = Number(made.trainTokens);
    }
    writeFileSync(
      join(root, 'run.yaml'),
      'hiddenSize: 32\nintermediateSize: 48\nnumHiddenLayers: 1\nnumAttentionHeads: 2\n' +
        'contextLength: 32\nbatchTokens: 128\ntokensPerParameter: 20\nheldOut: { en: en, fr: fr }\ndeterministic: true\n',
    );
    const tokens = ['--tokens', '1280']; // wins over the file's tokensPerParameter
    const trained = await json(
      'train',
      '--config',
      'run.yaml',
      '--source',
      'en=en',
      '--out',
      'runs/en',
      '--learning-rate',
      '0.01',
      '--eval-tokens',
      '300',
      ...tokens,
    );
    expect(trained).toMatchObject({ status: 'done', step: 10, tokens: 1280 });
    const common = [
      '--context-length',
      '32',
      '--batch-tokens',
      '128',
      '--held-out',
      'en=en',
      '--held-out',
      'fr=fr',
      '--deterministic',
    ];
    const french = ['--source', 'fr=fr', '--out', 'runs/fr', '--seed', '2'];
    const scratch = await json('train', '--config', 'run.yaml', ...french, ...tokens);
    const sources = ['--source', 'fr=fr@0.9', '--source', 'en=en@0.1'];
    const cpt = ['cpt', '--from', 'runs/en', ...sources, ...common, ...tokens, '--out', 'runs/cpt'];
    const planned = await json(...cpt, '--dry-run', '--checkpointing', 'layer');
    const parameters = (280 + 4 * 32 + 3 * 48 + 3) * 32;
    expect(planned).toMatchObject({ method: 'cpt', steps: 10, tokensPerStep: 128, parameters, checkpointing: 'layer' });
    expect(planned.flops).toBe(6 * parameters * 1280);
    const { passes, evaluations, checkpoints, time, schedule } = planned as Record<string, Record<string, unknown>>;
    expect(passes).toEqual([
      { name: 'fr', path: 'fr', passes: expect.closeTo((0.9 * 1280) / trainTokens.fr!, 9) as number },
      { name: 'en', path: 'en', passes: expect.closeTo((0.1 * 1280) / trainTokens.en!, 9) as number },
    ]);
    // 0.24 of the budget in forward tokens, half for each language: four sequences of 32, one at each of four
    // evaluations
    expect(evaluations).toMatchObject({ count: 4, tokens: { en: 32, fr: 32 } });
    expect(evaluations!.shareOfTraining).toBeCloseTo((4 * 64) / 3 / 1280, 12);
    expect(evaluations!.flops).toBeCloseTo(Number(evaluations!.shareOfTraining) * Number(planned.flops), 0);
    expect(schedule).toMatchObject({ schedule: 'cosine', phases: [{ phase: 'warm-up' }, { phase: 'cosine decay' }] });
    expect(time).toMatchObject({
      basis: expect.stringMatching(/a few of the run's micro-batches, timed on/) as string,
    });
    const wholeFlops = Number(planned.flops) + Number(evaluations!.flops);
    expect(time!.seconds).toBeCloseTo(wholeFlops / Number(time!.flopsPerSecond), 9);
    // eight tensors, each at a multiple of 512 bytes
    const bytes = planned.bytes as Record<'parameters' | 'gradients', number>;
    expect(bytes.parameters).toBe(bytes.gradients);
    expect(bytes.parameters).toBeGreaterThanOrEqual(4 * parameters);
    expect(bytes.parameters).toBeLessThan(4 * parameters + 8 * 512);
    expect(existsSync(join(root, 'runs/cpt')), 'a dry run writes nothing').toBe(false);
    const continued = await json(...cpt);
    const files = readdirSync(join(root, String(continued.checkpoint))).map(
      file => statSync(join(root, String(continued.checkpoint), file)).size,
    );
    const onDisk = files.reduce((sum, size) => sum + size, 0);
    expect(checkpoints).toMatchObject({ count: 6, everySteps: 2, kept: 2 });
    expect(onDisk - Number(checkpoints!.bytes), 'heads of the files, configuration').toBeGreaterThan(0);
    expect(onDisk - Number(checkpoints!.bytes)).toBeLessThan(8192);
    expect(Object.keys(continued.heldOut as object)).toEqual(Object.keys(scratch.heldOut as object));
    const lossOf = async (...data: string[]) => {
      const found = await json('eval', 'loss', '--model', 'runs/en', '--context-length', '32', '--data', ...data);
      return found.losses as Record<string, { loss: number; tokens: number; bitsPerByte: number; bytes: number }>;
    };
    const { en, anglais, text } = await lossOf('en', 'anglais=en', 'text=en.txt');
    const held = (trained.heldOut as Record<string, { loss: number }>).en!; // of all held-out tokens
    expect(en!.loss, 'as the run had it').toBeCloseTo(held.loss, 5);
    expect(en!.tokens, 'the split, less the first id').toBe(299);
    expect(anglais).toEqual(en);
    expect(text!.bytes).toBe(statSync(join(root, 'en.txt')).size);
    expect(text!.bitsPerByte).toBeCloseTo(en!.bitsPerByte, 0);
    const resumed = await babelgrad('resume', 'runs/en', '--json');
    expect(JSON.parse(resumed.stdout)).toMatchObject({ status: 'done', step: 10 });
    expect(resumed.stderr).toMatch(/evaluations: \d+, on .* \(299 of en, 299 of fr\): [\d.]+% of the training's FLOPs/);
    expect(resumed.stderr).toMatch(/data: [\d.]+ passes over en/);
    const report = await json('report', 'runs/en', 'runs/fr', 'runs/cpt');
    expect(report).toMatchObject({ path: 'report.html', runs: ['en', 'fr', 'cpt'] });
    expect(report.savings).toHaveLength(1);
  });

  test('adapters says which one is used and why', async () => {
    const { chosen, reason, adapters } = await json('adapters');
    expect((adapters as { name: string }[]).map(({ name }) => name)).toContain(chosen);
    expect(reason).toMatch(/./);
  });
});

describe('bad usage, configuration and input end with status 2 and say what to do', () => {
  const cases: [string, string[], RegExp][] = [
    ['an unknown command', ['trane'], /unknown command 'trane'/],
    ['an unknown option', ['train', '--learning-rat', '1'], /unknown option '--learning-rat'/],
    [
      'a number that is none',
      ['train', '--learning-rate', 'fast'],
      /'--learning-rate <value>' argument 'fast' is invalid/,
    ],
    ['a run without a folder', ['train', '--source', 'en=en'], /a run needs a folder/],
    ['a run without data', ['train', '--out', 'x'], /a run needs data/],
    ['a config that does not exist', ['train', '--config', 'no.yaml'], /there is no config file 'no.yaml'/],
    [
      'an unknown field',
      ['train', '--config', 'typo.yaml'],
      /'typo.yaml': unknown field 'learningrate'; did you mean 'learningRate'\?/,
    ],
    ['a mistyped field', ['train', '--config', 'type.yaml'], /'type.yaml': field 'batchTokens' is "many"/],
    ['a value out of range', ['train', '--config', 'range.yaml'], /'range.yaml': field 'beta2' is 1.5/],
    ['an unknown field in a source', ['train', '--config', 'source.yaml'], /unknown field 'wieght' in sources.0/],
    [
      'a flag out of range, beside a file',
      ['train', '--config', 'good.yaml', '--tokens', '-5'],
      /^error: option --tokens is -5: it must be /,
    ],
    [
      'a flag out of range, without a file',
      ['cpt', '--from', 'runs/en', '--source', 'en=en', '--out', 'x', '--learning-rate', '0'],
      /^error: option --learning-rate is 0: it must be /,
    ],
    ['a flag out of range, to tune', ['tune', '--hidden-size', '1.5'], /^error: option --hidden-size is 1.5: /],
    [
      'a source without weight',
      ['train', '--config', 'good.yaml', '--source', 'en=en@0'],
      /^error: option '--source .* argument 'en=en@0' is invalid. Its weight must be above 0/,
    ],
    [
      'a field out of range, beside a flag',
      ['train', '--config', 'range.yaml', '--tokens', '5'],
      /^error: 'range.yaml': field 'beta2' is 1.5/,
    ],
    ['YAML that is none', ['train', '--config', 'broken.yaml'], /'broken.yaml': .*line \d/],
    [
      'an adapter that does not exist',
      ['adapters', '--adapter', 'nothing'],
      /no adapter matches 'nothing'; this machine has/,
    ],
    ['nothing to tune for', ['tune'], /there is nothing to tune for: give a model/],
    [
      'a model that is not whole',
      ['tune', '--hidden-size', '64'],
      /the model has no numAttentionHeads; give it, or a preset/,
    ],
    ['no such preset', ['tune', '--preset', 'smal'], /no model preset 'smal'; there are tiny/],
    ['no such adapter', ['tune', '--preset', 'tiny', '--adapter', 'nothing'], /no adapter matches 'nothing'/],
    [
      'a batch that is none',
      ['tune', '--preset', 'tiny', '--batch-tokens', '100'],
      /batchTokens 100 is not a multiple/,
    ],
    ['no time to tune', ['tune', '--preset', 'tiny', '--seconds', '0'], /It must be a number above 0/],
    ['a folder that is no run', ['resume', '.'], /'\.' holds no run/],
    ['a report of nothing', ['report', 'none'], /'none' is not the folder of a run/],
    [
      'a report in place of a folder, before it is made',
      ['report', 'none', '--out', '.'],
      /cannot write '\.': it is a/,
    ],
    // each would fail on its other parameters, were these looked at first
    ...[
      ['eval', 'tasks', '--model', 'none', '--task', 'xnli=none'],
      ['eval', 'loss', '--model', 'none', '--data', 'none'],
      ['eval', 'forgetting', 'none'],
      ['fit', 'none', '--law', 'compute'],
      ['study', 'report', 'none'],
      ['bench', 'matmul', '--adapter', 'none'],
      ['audit', 'kernels', '--adapter', 'none'],
    ].map((command): [string, string[], RegExp] => [
      `results of '${command.slice(0, 2).join(' ')}' below a file, before there are any`,
      [...command, '--out', 'en.txt/x'],
      /cannot write 'en.txt\/x(\/\w+\.\w+)?': 'en.txt' is not a folder/,
    ]),
    [
      'two sources of one name',
      ['train', '--source', 'en=en', '--source', 'en=fr', '--preset', 'tiny', '--out', 'x'],
      /two sources are named 'en'/,
    ],
    [
      'tokens and text under one name',
      ['eval', 'loss', '--model', 'runs/en', '--data', 'x=en', 'x=en.txt'],
      /'x' has 'en' and more: a token folder is a name of its own/,
    ],
    [
      'data that cannot be told apart',
      ['eval', 'loss', '--model', 'runs/en', '--data', 'en', './en.txt'],
      /two --data are named 'en'/,
    ],
    [
      'a model that is none',
      ['eval', 'loss', '--model', 'none', '--data', 'en.txt'],
      /'none' is neither a checkpoint .*; there is no such folder/,
    ],
  ];

  beforeAll(() => {
    const files = {
      'good.yaml': 'out: x\nsources: [{ name: en, path: en }]\npreset: tiny\n',
      'typo.yaml': 'out: x\nsources: [{ name: en, path: en }]\nlearningrate: 1\n',
      'type.yaml': 'out: x\nsources: [{ name: en, path: en }]\nbatchTokens: many\n',
      'range.yaml': 'out: x\nsources: [{ name: en, path: en }]\nbeta2: 1.5\n',
      'source.yaml': 'out: x\nsources: [{ name: en, path: en, wieght: 2 }]\n',
      'broken.yaml': 'out: [x\n',
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text);
  });

  test.each(cases)('%s', async (_, parameters, message) => {
    const { status, stdout, stderr } = await babelgrad(...parameters);
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
    expect(stdout).toBe('');
  });

  test('no adapter at all', async () => {
    // no system driver, and a cache folder that is a file
    const environment = { VK_DRIVER_FILES: join(root, 'none.json'), XDG_CACHE_HOME: join(root, 'en.txt') };
    const { status, stderr } = await babelgradWith(environment, 'adapters');
    expect(stderr).toMatch(/no WebGPU adapter was found\. The bundled .* set XDG_CACHE_HOME .*Install a Vulkan driver/);
    expect(status).toBe(2);
  });

  test('with --json the error is on stdout too, as an object', async () => {
    const { status, stdout } = await babelgrad('report', 'none', '--json');
    expect(status).toBe(2);
    expect(JSON.parse(stdout)).toEqual({ error: expect.stringContaining('not the folder of a run') });
    const usage = await babelgrad('train', '--frobnicate', '3', '--json');
    expect(usage.status).toBe(2);
    expect(JSON.parse(usage.stdout)).toEqual({ error: expect.stringContaining("unknown option '--frobnicate'") });
  });
});
