/** What goes wrong in a run: it is told, and nothing is lost. */
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { listCheckpoints } from '../../src/checkpoint/find.js';
import { claimFolder } from '../../src/claim.js';
import { UserError } from '../../src/errors.js';
import { readRun } from '../../src/report/runs.js';
import { DivergedError } from '../../src/run/context.js';
import { resumeRun } from '../../src/run/resume.js';
import { GradientPass } from '../../src/train/gradients.js';
import { runCommand } from '../support/command.js';
import { useDevice } from '../support/gpu.js';
import { bytesOf, useSmallRuns } from '../support/small-runs.js';

const context = useDevice();
const { root, data, run, start, continueFrom, lastCheckpoint } = useSmallRuns(context);

beforeAll(async () => {
  await start('first');
});

describe('what goes wrong loses nothing', () => {
  const fails = async (promise: Promise<unknown>, message: RegExp) => {
    await expect(promise).rejects.toThrow(message);
    await promise.catch(error => expect(error).toBeInstanceOf(UserError));
  };

  test('a folder that holds a run already', async () => {
    const before = bytesOf(run('first'), 'metrics.jsonl');
    await fails(start('first'), /already holds a run; choose another folder, or continue it with 'babelgrad resume/);
    expect(bytesOf(run('first'), 'metrics.jsonl').equals(before)).toBe(true);
  });

  test('a folder that another process trains in', async () => {
    const twice = await Promise.allSettled([start('twice'), start('twice')]);
    const [refused, ...others] = twice.flatMap(one => (one.status === 'rejected' ? [one.reason] : []));
    expect(others).toEqual([]);
    expect(refused).toBeInstanceOf(UserError);
    expect(String(refused)).toMatch(new RegExp(`twice' is being trained by process ${process.pid} on `));

    const whole = bytesOf(run('twice'), 'metrics.jsonl');
    const release = await claimFolder(run('twice'));
    await fails(resumeRun(run('twice')), /is being trained by process \d+ on/);
    await release!();
    await fails(start('twice'), /already holds a run/);
    expect(bytesOf(run('twice'), 'metrics.jsonl').equals(whole)).toBe(true);
    expect(readdirSync(run('twice')).sort()).toEqual(['checkpoints', 'config.json', 'metrics.jsonl']);
    await fails(resumeRun(run('nowhere')), /holds no run/);
    expect(existsSync(run('nowhere'))).toBe(false);
  });

  test('fewer tokens than one batch, in the budget and in the data', async () => {
    await fails(start('bad', { tokens: 10 }), /budget of 10 tokens is less than one batch of 128/);
    await fails(
      start('bad', { batchTokens: 1_024_000, tokens: 1_024_000 }),
      /training tokens, fewer than one batch of 1024000/,
    );
    await fails(
      start('bad', { contextLength: 100_000, batchTokens: 100_000, tokens: 1e6 }),
      /fewer than one (batch|sequence)/,
    );
    expect(existsSync(run('bad'))).toBe(false);
  });

  test('a vocabulary larger than the model', async () => {
    await fails(start('bad', { vocabSize: 299 }), /vocabulary of 300 is larger than the model's of 299/);
  });

  test('sizes that do not fit each other', async () => {
    await fails(start('bad', { batchTokens: 100 }), /batchTokens 100 is not a multiple of contextLength 32/);
    await fails(start('bad', { microBatch: 3 }), /microBatch 3 does not divide the 4 sequences/);
    await fails(start('bad', { numAttentionHeads: 5 }), /numAttentionHeads 5 does not divide hiddenSize 32/);
    await fails(start('bad', { numAttentionHeads: 2, headDim: 7 }), /head size 7 is odd/);
    await fails(start('bad', { preset: 'giant' }), /no model preset 'giant'; there are tiny/);
  });

  test('data that is missing or cut off', async () => {
    await fails(start('bad', { sources: [{ name: 'de', path: data('de') }] }), /'.*de' is no token data set/);
    cpSync(data('en'), data('cut'), { recursive: true });
    truncateSync(join(data('cut'), 'train-00000.bin'), 100);
    await fails(
      start('bad', { sources: [{ name: 'en', path: data('cut') }] }),
      /train-00000.bin' has 100 bytes, index.json says \d+/,
    );
  });

  test.each(['none', 'layer'])(
    'a loss that is not finite, checkpointing %s: stops, names step and tensor, keeps the good checkpoint',
    async checkpointing => {
      const name = `diverged-${checkpointing}`;
      const attempt = start(name, { learningRate: 1e30, warmup: 0, clip: 0, checkpointing });
      await expect(attempt).rejects.toThrow(
        /step \d+: the loss is .* first value that is not finite is .* of '(gradient of )?model\./,
      );
      await attempt.catch(error => expect(error).not.toBeInstanceOf(UserError));
      expect(listCheckpoints(run(name)).map(({ step }) => step)).toEqual([0]);
    },
  );

  test('a loss that is not finite is told even where there is no memory to look for its origin', async () => {
    const create = vi.spyOn(GradientPass, 'create').mockRejectedValue(new Error('out of memory'));
    await expect(start('unlocated', { learningRate: 1e30, warmup: 0, clip: 0 })).rejects.toThrow(
      /step \d+: the loss is .*could not be found.*out of memory.*Training stopped before the update/,
    );
    create.mockRestore();
  });

  test('gradients that overflow in f16 at every loss scale: steps are skipped while it falls, then it ends', async () => {
    if (!context.device.adapter.features.includes('shader-f16')) return;
    // Hidden states of 0 and a small eps: the loss is ln V, and each norm multiplies its gradient by 1e10.
    await start('storm-source', { tieWordEmbeddings: false, rmsNormEps: 1e-20 });
    const from = join(root, 'storm');
    cpSync(lastCheckpoint('storm-source'), from, { recursive: true });
    rmSync(join(from, 'SHA256SUMS'));
    const weights = readFileSync(join(from, 'model.safetensors'));
    const tensors = 8 + Number(weights.readBigUInt64LE());
    const header = JSON.parse(weights.subarray(8, tensors).toString());
    const [begin, end] = header['model.embed_tokens.weight'].data_offsets;
    writeFileSync(join(from, 'model.safetensors'), weights.fill(0, tensors + begin, tensors + end));

    const attempt = continueFrom(from, 'storm', { precision: 'f16', tokens: 40 * 128, evalEveryTokens: 40 * 128 });
    await expect(attempt).rejects.toThrow(
      /^step 16: gradients overflow in f16 at every loss scale, down to 1, though the loss is 5\.70.*' are good; the latest is of step 12\. Use precision f32/,
    );
    await attempt.catch(error => expect(error).toBeInstanceOf(DivergedError));
    const { steps } = readRun(run('storm'));
    expect(steps.map(({ skipped }) => skipped)).toEqual(Array(15).fill('overflow'));
    expect(steps.map(({ lossScale }) => lossScale)).toEqual(Array.from({ length: 15 }, (_, i) => 2 ** (15 - i)));
    // a skipped step leaves the weights as they were, so that these are good
    expect(listCheckpoints(run('storm')).map(({ step }) => step)).toEqual([0, 4, 8, 12]);

    const command = [
      '--from',
      from,
      '--out',
      run('storm-command'),
      '--source',
      `en=${data('en')}`,
      '--precision',
      'f16',
    ];
    const lengths = [
      '--tokens',
      String(40 * 128),
      '--context-length',
      '32',
      '--batch-tokens',
      '128',
      '--deterministic',
    ];
    const { status, stderr } = await runCommand(root, ['cpt', ...command, ...lengths]);
    expect(stderr).toMatch(/^error: step 16: gradients overflow in f16 at every loss scale.*Use precision f32/m);
    expect(status).toBe(1);
  });

  test('a checkpoint that is cut off, or does not fit its config.json', async () => {
    const from = join(root, 'broken');
    const attempt = () => continueFrom(from, 'bad');
    const reset = () => cpSync(lastCheckpoint('first'), from, { recursive: true, force: true });
    const edit = (change: (config: Record<string, unknown>) => void) => {
      const config = JSON.parse(readFileSync(join(from, 'config.json'), 'utf8')) as Record<string, unknown>;
      change(config);
      writeFileSync(join(from, 'config.json'), JSON.stringify(config));
    };
    await fails(attempt(), /neither a checkpoint \(model.safetensors\) nor a run/);
    reset();
    truncateSync(join(from, 'model.safetensors'), 5000);
    await fails(attempt(), /model.safetensors' is cut off: \d+ bytes of tensors expected, \d+ there/);
    truncateSync(join(from, 'model.safetensors'), 100);
    await fails(attempt(), /cut off within its header/);
    reset();
    edit(config => Object.assign(config, { intermediate_size: 49 }));
    await fails(
      attempt(),
      /'model.layers.0.mlp.gate_proj.weight' has shape \[48, 32\]; config.json makes it \[49, 32\]/,
    );
    reset();
    edit(config => Object.assign(config, { num_hidden_layers: 2 }));
    await fails(attempt(), /has no tensor 'model.layers.1.input_layernorm.weight'/);
    reset();
    edit(config => Object.assign(config, { num_hidden_layers: 0.5 }));
    await fails(attempt(), /config.json': num_hidden_layers/);
    reset();
    edit(config => Object.assign(config, { model_type: 'gpt2' }));
    await fails(attempt(), /config.json': model_type/);
    reset();
    edit(config => Object.assign(config, { tie_word_embeddings: false }));
    await fails(attempt(), /has no tensor 'lm_head.weight'/);
  });
});
