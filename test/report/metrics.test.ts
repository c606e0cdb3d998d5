/** The metrics of a run elsewhere: as a table, and as TensorBoard's event files, read back by a reader of its own. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { afterAll, describe, expect, test } from 'vitest';
import { crc32c, maskedCrc32c } from '../../src/report/crc32c.js';
import { metricsCsv } from '../../src/report/metrics-csv.js';
import { type RunRecord, readRun } from '../../src/report/runs.js';
import { eventFile } from '../../src/report/tensorboard.js';
import { runCommand } from '../support/command.js';
import { writeRun } from '../support/runs.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-metrics-'));
afterAll(() => rmSync(root, { recursive: true }));

const STEP = { kind: 'step', flops: 1, gradientNorm: 0.5, learningRate: 1e-3, tokensPerSecond: 50 } as const;
const task = { accuracy: 0.25, loss: 1, firstLoss: 2, tokens: 10, chance: 0.1 };

function record(): RunRecord {
  const folder = join(root, 'run');
  writeRun(root, { name: 'run', sources: { fr: 1 }, heldOut: { fr: [6, 5], en: [4, 4.5] } });
  const run = readRun(folder);
  return {
    ...run,
    steps: [
      { ...STEP, step: 1, tokens: 100, loss: 6.5 },
      { ...STEP, step: 2, tokens: 200, loss: null, skipped: 'not finite', lossScale: 2 ** 15 },
    ],
    evaluations: run.evaluations.map((line, i) => ({ ...line, step: 2 * i, tokens: 200 * i })),
    probes: [{ kind: 'probe', step: 300, tokens: 200, flops: 2, probes: { fr: { copy: task, induction: task } } }],
  };
}

test('a table has a row for each line of metrics, in the order of steps', () => {
  const csv = metricsCsv([record()]);
  const rows = parse(csv, { columns: true }) as Record<string, string>[];
  expect(rows.map(({ kind, step }) => `${kind} ${step}`)).toEqual([
    ...['evaluation 0', 'step 1', 'step 2', 'evaluation 2', 'probe 300'],
  ]);
  expect(rows[1]).toMatchObject({ run: 'run', tokens: '100', loss: '6.5', gradientNorm: '0.5', skipped: '' });
  expect(rows[2]).toMatchObject({ loss: '', skipped: 'not finite', lossScale: '32768' });
  expect([rows[0]!['heldOut.fr.loss'], rows[3]!['heldOut.en.loss'], rows[1]!['heldOut.fr.loss']]).toEqual([
    '6',
    '4.5',
    '',
  ]); // prettier-ignore
  expect(rows[4]!['probes.fr.copy.accuracy']).toBe('0.25');
});

describe('CRC-32C', () => {
  test.each([
    // of RFC 3720, B.4, and the usual check of nine digits
    ['32 zeros', new Uint8Array(32), 0x8a9136aa],
    ['32 ones', new Uint8Array(32).fill(255), 0x62a8ab43],
    ['0 to 31', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    ['31 to 0', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
    ['123456789', Buffer.from('123456789'), 0xe3069283],
  ])('%s', (_, bytes, expected) => {
    expect(crc32c(bytes)).toBe(expected);
  });

  test('is masked as LevelDB masks it, which undoing shows', () => {
    const masked = maskedCrc32c(Buffer.from('foo'));
    const rotated = (masked - 0xa282ead8) >>> 0;
    expect(((rotated >>> 17) | (rotated << 15)) >>> 0).toBe(crc32c(Buffer.from('foo')));
    expect(masked).not.toBe(crc32c(Buffer.from('foo')));
  });
});

/** Fields of a protobuf message, by a reader that knows wire types alone. */
function fieldsOf(bytes: Buffer): { field: number; value: bigint | Buffer }[] {
  const fields = [];
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const take = (length: number) => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const key = Number(varint());
    const read = { 0: varint, 1: () => take(8), 2: () => take(Number(varint())), 5: () => take(4) }[key & 7]!;
    fields.push({ field: key >> 3, value: read() });
  }
  expect(at).toBe(bytes.length);
  return fields;
}

function* eventsOf(file: Buffer) {
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at));
    expect(file.readUInt32LE(at + 8)).toBe(maskedCrc32c(file.subarray(at, at + 8)));
    const data = file.subarray(at + 12, at + 12 + length);
    expect(file.readUInt32LE(at + 12 + length)).toBe(maskedCrc32c(data));
    const get = (field: number) => fieldsOf(data).find(found => found.field === field)?.value;
    const summary = get(5) as Buffer | undefined;
    const scalars = summary?.length
      ? fieldsOf(summary).map(({ value }) => {
          const [tag, number] = fieldsOf(value as Buffer).map(inner => inner.value as Buffer);
          return [tag!.toString(), number!.readFloatLE()] as const;
        })
      : [];
    const time = (get(1) as Buffer).readDoubleLE();
    yield { time, step: Number(get(2)), version: get(3)?.toString(), scalars: Object.fromEntries(scalars) };
    at += 16 + length;
  }
}

test('an event file has every scalar of the metrics, framed with its checksums', () => {
  const [first, ...events] = [...eventsOf(eventFile(record()))];
  expect(first).toMatchObject({ version: 'brain.Event:2', step: 0, time: 0 });
  expect(events.map(({ step, time }) => [step, time])).toEqual([
    [0, 0],
    [1, 2],
    [2, 4],
    [2, 4],
    [300, 4],
  ]); // prettier-ignore
  expect(events[0]!.scalars).toMatchObject({ 'held_out/fr nats per token': 6, 'held_out/en nats per token': 4 });
  expect(events[1]!.scalars).toEqual({
    'train/loss': 6.5,
    'train/gradient_norm': 0.5,
    'train/learning_rate': Math.fround(1e-3),
    'train/tokens_per_second': 50,
  });
  expect(events[2]!.scalars).not.toHaveProperty('train/loss'); // it was not finite
  expect(events[2]!.scalars).toMatchObject({ 'train/loss_scale': 32768 });
  expect(events[4]!.scalars).toEqual({ 'probe/fr copy': 0.25, 'probe/fr induction': 0.25 });
});

test('a report that cannot write its event files, or its table, writes nothing', async () => {
  writeRun(root, { name: 'told', sources: { fr: 1 }, heldOut: { fr: [6, 5] } });
  writeFileSync(join(root, 'a file'), '');
  for (const flag of ['--tensorboard', '--csv']) {
    const { status, stderr } = await runCommand(root, ['report', 'told', '--out', 'r.html', flag, 'a file/x']);
    expect(stderr).toMatch(/cannot write '.*': '.*a file' is not a folder/);
    expect(status).toBe(2);
    expect(existsSync(join(root, 'r.html'))).toBe(false);
  }
  const { status } = await runCommand(root, ['report', 'told', '--out', 'r.html', '--tensorboard', 'events']);
  expect(status).toBe(0);
  expect(readdirSync(join(root, 'events', 'told'))).toEqual(['events.out.tfevents.babelgrad']);
});
