/** A run that continues an imported checkpoint: what it keeps of it, through its own checkpoints, resume and export. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exportModel } from '../../src/checkpoint/export.js';
import { listCheckpoints } from '../../src/checkpoint/find.js';
import { readModelConfig } from '../../src/checkpoint/hf-config.js';
import { tokenizeFiles } from '../../src/data/tokenize.js';
import { trainTokenizer } from '../../src/data/tokenizer-train.js';
import { parseConfig } from '../../src/run/config.js';
import { dryRun } from '../../src/run/dry-run.js';
import { readRunConfig } from '../../src/run/folder.js';
import { resumeRun } from '../../src/run/resume.js';
import { startRun } from '../../src/run/start.js';
import { resolveStudy } from '../../src/study/estimate.js';
import { LAYOUTS, writeCheckpoint } from '../support/checkpoints.js';
import { useDevice } from '../support/gpu.js';
import { sampleText } from '../support/text.js';

const context = useDevice();
const root = mkdtempSync(join(tmpdir(), 'babelgrad-continue-'));
const data = join(root, 'data');
const layout = LAYOUTS['Llama of transformers 5 (rope_parameters), BF16, sharded']!;
const mistral = LAYOUTS['Mistral, BF16, sharded, heads narrower than the model']!;
const tokenizerConfig = '{"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": "{{ messages }}"}';
const scaling = {
  type: 'llama3',
  factor: 4,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalMaxPositionEmbeddings: 64,
} as const;
let tokenizerJson = '';

beforeAll(async () => {
  writeFileSync(join(root, 'text.txt'), sampleText(0, 6000));
  const out = join(root, 'tokenizer.json');
  const tokenizer = await trainTokenizer([join(root, 'text.txt')], { vocabSize: 280, field: 'text', out });
  tokenizerJson = tokenizer.json;
  await tokenizeFiles([join(root, 'text.txt')], { tokenizer, field: 'text', out: data, heldOutTokens: 300 });
});
afterAll(() => rmSync(root, { recursive: true }));

const fields = (out: string) => ({
  out,
  sources: [{ name: 'en', path: data }],
  tokens: 6 * 96,
  contextLength: 96, // beyond the 64 positions of the original context
  batchTokens: 96,
  evalEveryTokens: 96,
  checkpointEveryTokens: 3 * 96,
  keepCheckpoints: 9,
});

test.each([
  ['rope scaling', layout, { ropeScaling: scaling }],
  ['biases', LAYOUTS['Qwen2.5, BF16, tied, 3 heads to 1, biases']!, { qkvBias: true }],
  [
    'norms behind attention and MLP',
    LAYOUTS['OLMo 2, F32, grouped-query, norms behind attention and MLP, and of the whole Q and K']!,
    { qkNorm: true, qkNormOver: 'projection', normPlacement: 'after' },
  ],
  [
    'fused projections',
    LAYOUTS['Phi-3, BF16, sharded, grouped-query, fused projections, a window']!,
    { fusedProjections: true, slidingWindow: 2047 },
  ],
  [
    'layers without rotary embedding',
    LAYOUTS['SmolLM3, BF16, tied, grouped-query, a layer without rotary embedding']!,
    { nopeLayerInterval: 4 },
  ],
  [
    'a Gemma 2',
    LAYOUTS['Gemma 2, BF16, tied, grouped-query, soft caps, a layer within a window']!,
    { normPlacement: 'both', slidingWindow: 64, attnLogitSoftcapping: 2, finalLogitSoftcapping: 3 },
  ],
  [
    'a Gemma 3',
    LAYOUTS['Gemma 3, BF16, tied, grouped-query, a layer within a window']!,
    { normUnitOffset: true, slidingWindow: 512, slidingWindowPattern: 2, queryPreAttnScalar: 24 },
  ],
  [
    'norms of heads',
    LAYOUTS['Qwen3, F16, grouped-query, heads wider than the model, norms of heads']!,
    { qkNorm: true },
  ],
  [
    'a window',
    { ...mistral, config: { ...mistral.config, sliding_window: 32 } },
    { slidingWindow: 32, maxPositionEmbeddings: 1024 },
  ],
] as const)(
  '%s, token ids and tokenizer files are in every checkpoint, and resume ends with the same bits',
  async (what, layout, has) => {
    const folder = (name: string) => join(root, `${what} ${name}`);
    const [source, run, stopped] = [folder('source'), folder('run'), folder('stopped')];
    writeCheckpoint(source, {
      ...layout,
      config: { ...layout.config, vocab_size: 300, bos_token_id: 7, eos_token_id: [0, 8] },
      files: { 'tokenizer.json': tokenizerJson, 'tokenizer_config.json': tokenizerConfig },
    });
    const start = (out: string, signal?: AbortSignal, onStep?: (line: { step: number }) => void) =>
      startRun(parseConfig(fields(out), 'the test'), {
        device: context.device,
        from: source,
        signal,
        observer: onStep && { onStep },
      });
    await start(run);
    expect(readRunConfig(run).model).toMatchObject(has);
    const abort = new AbortController();
    await start(stopped, abort.signal, ({ step }) => step === 2 && abort.abort());
    await resumeRun(stopped, { device: context.device });
    const [last, resumed] = [run, stopped].map(folder => listCheckpoints(folder).at(-1)!.folder) as [string, string];
    expect(last).toMatch(/step-00000006$/);
    for (const file of ['model.safetensors', 'optimizer.safetensors', 'config.json', 'tokenizer_config.json']) {
      expect(readFileSync(join(resumed, file)).equals(readFileSync(join(last, file))), file).toBe(true);
    }
    expect(readModelConfig(last)).toMatchObject(has);
    expect(readModelConfig(last)).toEqual(readModelConfig(source));
    expect(JSON.parse(readFileSync(join(last, 'config.json'), 'utf8'))).toMatchObject({
      bos_token_id: 7,
      eos_token_id: [0, 8],
    });
    expect(readFileSync(join(last, 'tokenizer_config.json'), 'utf8')).toBe(tokenizerConfig);

    const out = folder('out');
    await exportModel(last, out, { type: 'BF16' });
    expect(readModelConfig(out)).toEqual(readModelConfig(source));
    expect(readFileSync(join(out, 'tokenizer.json'), 'utf8')).toBe(tokenizerJson);
    expect(readFileSync(join(out, 'tokenizer_config.json'), 'utf8')).toBe(tokenizerConfig);
  },
);

test('a tokenizer without a tokenizer_config.json is exported with one, and its end of text is named', async () => {
  const [plain, out] = [join(root, 'plain'), join(root, 'plain-out')];
  writeCheckpoint(plain, {
    ...layout,
    config: { ...layout.config, vocab_size: 300 },
    files: { 'tokenizer.json': tokenizerJson },
  });
  await exportModel(plain, out, { type: 'F32' });
  expect(JSON.parse(readFileSync(join(out, 'tokenizer_config.json'), 'utf8'))).toMatchObject({
    tokenizer_class: 'PreTrainedTokenizerFast',
    eos_token: '<|endoftext|>',
  });
  expect(JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'))).toMatchObject({
    bos_token_id: null,
    eos_token_id: 0,
    torch_dtype: 'float32',
  });
});

test('data made with another tokenizer than the checkpoint has is refused before a run or a study starts, and by a dry run', async () => {
  const [other, never] = [join(root, 'other'), join(root, 'never')];
  const files = { 'tokenizer.json': `${tokenizerJson} ` };
  writeCheckpoint(other, { ...layout, config: { ...layout.config, vocab_size: 300 }, files });
  const config = parseConfig(fields(never), 'the test');
  const message =
    /the data was made with another tokenizer than the checkpoint's; run 'tokenize' with '.*other.tokenizer/;
  await expect(dryRun(config, { from: other })).rejects.toThrow(message);
  await expect(startRun(config, { from: other, device: context.device })).rejects.toThrow(message);
  expect(existsSync(never)).toBe(false);
  const run = { name: 'run', size: 's', strategy: 'cpt', language: 'en', replay: 0, seed: 0, config } as const;
  const plan = { name: 'study', folder: never, targets: ['en'], runs: [{ ...run, from: { folder: other } }] };
  expect(() => resolveStudy(plan)).toThrow(message);
});

test('a checkpoint that is not sound is refused before a run starts, and by a dry run', async () => {
  const broken = join(root, 'broken');
  writeCheckpoint(broken, { ...layout, config: { ...layout.config, vocab_size: 300 } });
  rmSync(join(broken, 'model-00002-of-00003.safetensors'));
  const config = parseConfig(fields(join(root, 'never')), 'the test');
  const message = /names the shard 'model-00002-of-00003.safetensors'/;
  await expect(dryRun(config, { from: broken })).rejects.toThrow(message);
  await expect(startRun(config, { from: broken, device: context.device })).rejects.toThrow(message);
  expect(existsSync(join(root, 'never'))).toBe(false);
});
