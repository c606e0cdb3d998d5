/**
 * Event files of TensorBoard: records with checksums (TFRecord), each a protobuf message of type Event
 * (tensorflow/core/util/event.proto). Only scalars are written.
 */
import { maskedCrc32c } from './crc32c.js';
import type { RunRecord } from './runs.js';

/**
 * Returns the metrics of a run as an event file. Its times are those of the steps' tokens per second, from 0 on.
 * @example
 * import { writeFileSync } from 'node:fs';
 * import { eventFile, readRun } from 'babelgrad';
 *
 * writeFileSync('events.out.tfevents.english', eventFile(readRun('runs/english')));
 */
export function eventFile(run: RunRecord): Buffer {
  const records = [event(0, 0, stringField(3, 'brain.Event:2'))];
  const lines = [...run.steps, ...run.evaluations, ...run.probes].sort((a, b) => a.step - b.step);
  let seconds = 0;
  let tokens = 0;
  for (const line of lines) {
    if (line.kind === 'step') {
      if (line.tokensPerSecond > 0) seconds += (line.tokens - tokens) / line.tokensPerSecond;
      tokens = line.tokens;
    }
    const values = scalarsOf(line).map(([tag, value]) => lengthField(1, [stringField(1, tag), floatField(2, value)]));
    if (values.length > 0) records.push(event(seconds, line.step, lengthField(5, values)));
  }
  return Buffer.concat(records.map(record));
}

type Line = RunRecord['steps'][number] | RunRecord['evaluations'][number] | RunRecord['probes'][number];

/** Returns the scalars of a line by tag; the part before the first slash groups them on TensorBoard's page. */
function scalarsOf(line: Line): [tag: string, value: number][] {
  const all: [string, number | null | undefined][] = [];
  if (line.kind === 'step') {
    all.push(['train/loss', line.loss], ['train/gradient_norm', line.gradientNorm]);
    all.push(['train/learning_rate', line.learningRate], ['train/tokens_per_second', line.tokensPerSecond]);
    all.push(['train/loss_scale', line.lossScale]);
  } else if (line.kind === 'evaluation') {
    for (const [prefix, heldOut] of [
      ['held_out', line.heldOut],
      ['held_out_average', line.heldOutAverage ?? {}],
    ] as const) {
      for (const [language, { loss, bitsPerByte }] of Object.entries(heldOut)) {
        all.push([`${prefix}/${language} nats per token`, loss], [`${prefix}/${language} bits per byte`, bitsPerByte]);
      }
    }
  } else {
    for (const [language, { copy, induction }] of Object.entries(line.probes)) {
      all.push([`probe/${language} copy`, copy.accuracy], [`probe/${language} induction`, induction.accuracy]);
    }
  }
  return all.filter((scalar): scalar is [string, number] => typeof scalar[1] === 'number');
}

/** Frames the bytes of a message. */
function record(data: Buffer): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(data.length));
  return Buffer.concat([length, word(maskedCrc32c(length)), data, word(maskedCrc32c(data))]);
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** Event: wall_time = 1 (double), step = 2 (int64), then its content. */
function event(seconds: number, step: number, content: Buffer): Buffer {
  const time = Buffer.alloc(8);
  time.writeDoubleLE(seconds);
  return Buffer.concat([key(1, 1), time, key(2, 0), varint(step), content]);
}

const key = (field: number, wireType: number): Buffer => varint(field * 8 + wireType);

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

function lengthField(field: number, parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([key(field, 2), varint(content.length), content]);
}

const stringField = (field: number, text: string): Buffer => lengthField(field, [Buffer.from(text)]);

function floatField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([key(field, 5), bytes]);
}
