/** Runs of several ranks by the installed MPI: the same losses as one process, the same bits every time. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { listCheckpoints } from '../../src/checkpoint/find.js';
import type { MetricsLine, StepLine } from '../../src/run/metrics.js';
import { runCommand, tokenizeSample } from '../support/command.js';
import { MPICH, OPEN_MPI, runJob, withoutMpi } from '../support/mpi.js';

const cwd = mkdtempSync(join(tmpdir(), 'babelgrad-mpi-'));
const MODEL = ['--hidden-size', '32', '--intermediate-size', '48', '--num-hidden-layers', '2'];
/** Eight steps of eight sequences, with checkpoints after the fourth and the last. */
const train = (out: string, ...more: string[]) => [
  ...['train', '--source', 'en=en', '--out', out, '--num-attention-heads', '2', ...MODEL],
  ...['--context-length', '32', '--batch-tokens', '256', '--tokens', '2048', '--learning-rate', '0.01'],
  ...['--checkpoint-every-tokens', '1024', '--eval-every-tokens', '1024', '--keep-checkpoints', '9'],
  ...['--deterministic', ...more],
];

function linesOf(run: string): MetricsLine[] {
  const text = readFileSync(join(cwd, run, 'metrics.jsonl'), 'utf8').trim();
  return text.split('\n').map(line => JSON.parse(line) as MetricsLine);
}
const stepsOf = (run: string): StepLine[] => linesOf(run).filter(line => line.kind === 'step');
const lossesOf = (run: string) =>
  linesOf(run).flatMap(line => {
    if (line.kind === 'step') return [line.loss!, line.gradientNorm!];
    return line.kind === 'evaluation' ? [line.heldOut.en!.loss] : [];
  });
const last = (run: string) => listCheckpoints(join(cwd, run)).at(-1)!.folder;
const bytesOf = (run: string, file = 'model.safetensors') => readFileSync(join(last(run), file)).toString('base64');

/** The largest difference of two runs' losses and gradient norms, relative. */
function worst(a: string, b: string): number {
  const [of, to] = [lossesOf(a), lossesOf(b)];
  expect(of).toHaveLength(to.length);
  return Math.max(...of.map((value, i) => Math.abs(value - to[i]!) / Math.abs(to[i]!)));
}

async function succeed(ranks: number, parameters: readonly string[]): Promise<string> {
  const { status, stderr } = await runJob(cwd, ranks, parameters);
  expect(status, stderr).toBe(0);
  return stderr;
}

describe.skipIf(OPEN_MPI === undefined)(`ranks${withoutMpi}`, () => {
  beforeAll(async () => {
    await tokenizeSample(cwd);
    const { status, stderr } = await runCommand(cwd, train('one'));
    expect(status, stderr).toBe(0);
    expect(await succeed(2, train('two'))).toMatch(/^2 ranks on 1 machine, by Open MPI v/m);
  });
  afterAll(() => rmSync(cwd, { recursive: true }));

  test('train the same tokens to the same losses as one process', async () => {
    await succeed(4, train('four'));
    // a sum over the 256 tokens of a step in another order is off by (n-1) u = 1.5e-5 of the magnitudes at most, and
    // eight updates carry it on; losses of other tokens would differ by 1e-2
    for (const run of ['two', 'four']) expect(worst(run, 'one'), run).toBeLessThan(1e-4);
    expect(stepsOf('one')[0]!.exchange).toBeUndefined();
    const { sentBytes } = stepsOf('two')[3]!.exchange!;
    const parameters = JSON.parse(readFileSync(join(cwd, 'two/config.json'), 'utf8')).parameters.total as number;
    // each of two ranks sends half of the gradients, then half of the sums
    expect(sentBytes / (4 * parameters)).toBeGreaterThan(0.99);
    expect(sentBytes / (4 * parameters)).toBeLessThan(1.02);
  });

  test('come to the same bits every time', async () => {
    await succeed(2, train('again'));
    expect(bytesOf('again')).toBe(bytesOf('two'));
    expect(bytesOf('again', 'optimizer.safetensors')).toBe(bytesOf('two', 'optimizer.safetensors'));
    expect(lossesOf('again')).toEqual(lossesOf('two'));
  });

  test('go on with a run of another number of ranks, and with their own to the same bits', async () => {
    rmSync(last('again'), { recursive: true });
    await succeed(2, ['resume', 'again']);
    expect(bytesOf('again')).toBe(bytesOf('two'));
    rmSync(last('again'), { recursive: true });
    await succeed(4, ['resume', 'again']);
    expect(worst('again', 'two')).toBeLessThan(1e-4);
    rmSync(last('again'), { recursive: true });
    const { status, stderr } = await runCommand(cwd, ['resume', 'again']);
    expect(status, stderr).toBe(0);
    expect(worst('again', 'two')).toBeLessThan(1e-4);
  });

  test('send gradients in bf16 when asked, in half of the bytes', async () => {
    await succeed(2, train('halves', '--gradient-type', 'bf16'));
    const [half, whole] = [stepsOf('halves')[0]!, stepsOf('two')[0]!];
    expect(half.exchange!.sentBytes * 2).toBe(whole.exchange!.sentBytes);
    // each rank's part and the sum are rounded to 8 bits of fraction: 2^-8 of the magnitudes at most
    expect(Math.abs(half.gradientNorm! - whole.gradientNorm!) / whole.gradientNorm!).toBeLessThan(2 ** -8);
    expect(half.gradientNorm).not.toBe(whole.gradientNorm);
    expect(worst('halves', 'two')).toBeLessThan(0.02);
  });

  test('meet every so many steps with diloco, and go on from its checkpoint', async () => {
    const parameters = ['--parallel', 'diloco', '--sync-every', '2'];
    await succeed(2, train('diloco', ...parameters));
    const sent = stepsOf('diloco').map(({ exchange }) => exchange?.sentBytes ?? 0);
    expect(sent.map(bytes => bytes > 0)).toEqual([false, true, false, true, false, true, false, true]);
    await succeed(2, train('diloco-again', ...parameters));
    expect(bytesOf('diloco-again', 'outer.safetensors')).toBe(bytesOf('diloco', 'outer.safetensors'));
    rmSync(last('diloco-again'), { recursive: true });
    await succeed(2, ['resume', 'diloco-again']);
    for (const file of ['model', 'optimizer', 'outer']) {
      expect(bytesOf('diloco-again', `${file}.safetensors`), file).toBe(bytesOf('diloco', `${file}.safetensors`));
    }
    rmSync(last('diloco-again'), { recursive: true });
    await succeed(4, ['resume', 'diloco-again']);
  });

  test('keep moments in host memory to the same bits', async () => {
    await succeed(2, train('offloaded', '--offload', 'moments'));
    for (const file of ['model.safetensors', 'optimizer.safetensors']) {
      expect(bytesOf('offloaded', file), file).toBe(bytesOf('two', file));
    }
    rmSync(last('offloaded'), { recursive: true });
    await succeed(4, ['resume', 'offloaded']);
    expect(worst('offloaded', 'two')).toBeLessThan(1e-4);
  });

  test('train adapters, and send the gradients of these alone', async () => {
    const adapt = (out: string) => [
      ...['cpt', '--from', 'one', '--lora-rank', '4', '--source', 'en=en', '--out', out, '--learning-rate', '0.01'],
      ...['--context-length', '32', '--batch-tokens', '256', '--tokens', '2048', '--checkpoint-every-tokens', '1024'],
      ...['--eval-every-tokens', '1024', '--keep-checkpoints', '9', '--deterministic'],
    ];
    const { status, stderr } = await runCommand(cwd, adapt('adapters'));
    expect(status, stderr).toBe(0);
    await succeed(2, adapt('adapters-two'));
    expect(worst('adapters-two', 'adapters')).toBeLessThan(1e-4);
    const own = statSync(join(last('adapters'), 'adapter_model.safetensors')).size; // 4 bytes a value, and a header
    const { sentBytes } = stepsOf('adapters-two')[3]!.exchange!;
    expect(sentBytes / own).toBeGreaterThan(0.7);
    expect(sentBytes / own).toBeLessThan(1.02);
    const whole = bytesOf('adapters-two', 'adapter_model.safetensors');
    rmSync(last('adapters-two'), { recursive: true });
    await succeed(2, ['resume', 'adapters-two']);
    expect(bytesOf('adapters-two', 'adapter_model.safetensors')).toBe(whole);
    rmSync(last('adapters-two'), { recursive: true });
    await succeed(4, ['resume', 'adapters-two']);
    expect(worst('adapters-two', 'adapters')).toBeLessThan(1e-4);
  });

  test('are refused where they cannot share a step, or are not told to stay one', async () => {
    const uneven = await runJob(cwd, 3, train('uneven'));
    expect(uneven.stderr).toContain('error: 3 ranks cannot share the 8 sequences of a step');
    expect(uneven.status).toBe(2);
    const dry = await runJob(cwd, 2, train('dry', '--dry-run'));
    expect(dry.stderr).toContain('--dry-run is for one process');
    const adapting = await runJob(cwd, 2, train('adapt', '--adapt'));
    expect(adapting.stderr).toContain('--adapt is for one process');
    const twice = await runJob(cwd, 2, train('two'));
    expect(twice.stderr.match(/error: /g)).toHaveLength(1);
    expect(twice.stderr).toContain("'two' already holds a run");
  });

  test('are refused without a library, and with one that is not the launcher’s', async () => {
    const none = await runJob(cwd, 2, train('none'), { environment: { BABELGRAD_MPI: '/nowhere/libmpi.so' } });
    expect(none.stderr).toMatch(/Open MPI started several processes, but there is no MPI library to load \(.*nowhere/);
    expect(none.status).toBe(2);
    if (!MPICH) return;
    const mixed = await runJob(cwd, 2, train('mixed'), {
      launcher: MPICH,
      environment: { BABELGRAD_MPI: 'libmpi.so.40' },
    });
    expect(mixed.stderr).toMatch(/MPICH started 2 processes, but to Open MPI v.* this one is alone/);
    const { status, stderr } = await runJob(cwd, 2, train('mpich'), { launcher: MPICH });
    expect(status, stderr).toBe(0);
    expect(bytesOf('mpich')).toBe(bytesOf('two')); // sums are made here, in one order
  });

  test('are refused where one has another configuration', async () => {
    const script = join(cwd, 'by-rank.sh');
    writeFileSync(script, 'exec "$@" --seed "$OMPI_COMM_WORLD_RANK"\n');
    const { status, stderr } = await runJob(cwd, 2, train('seeds'), { wrapper: ['bash', script] });
    expect(stderr).toMatch(/rank 1 on '.*' has another field 'seed' \(1\) than rank 0 \(0\)/);
    expect(status).toBe(2);
  });
});
