/**
 * The process of an engine that is a JavaScript module: `node serve.js MODULE ADAPTER [bundled]`. See protocol.ts.
 * `bundled` lets it find the software driver that comes with the project.
 */
import { writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { messageOf } from '../../src/errors.js';
import { prepareDrivers } from '../../src/gpu/drivers.js';
import { wallTimes } from '../measure.js';
import { repetitions } from '../works/kernel.js';
import type { Answer, Engine, OpenEngine, PreparedTask, Request, Task } from './protocol.js';

const ANSWERS = 3;
const MOST_REPETITIONS = 64;

const [module, adapter, bundled] = process.argv.slice(2) as [string, string, string?];

function answer(value: Answer<unknown>): void {
  writeSync(ANSWERS, `${JSON.stringify(value)}\n`);
}

let engine: Engine | undefined;
let current: (PreparedTask & { perRun: number }) | undefined;

async function prepare(task: Task, folder: string) {
  const prepared = await engine!.prepare(task);
  if ('unsupported' in prepared) return prepared;
  const { results = {}, check, losses, costs } = prepared;
  for (const [name, values] of Object.entries(results)) {
    writeFileSync(join(folder, `${name}.f32`), new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  const perRun = await repetitions(times => prepared.run(times), MOST_REPETITIONS);
  current = { ...prepared, perRun };
  return { check, losses, costs };
}

async function respond(request: Request): Promise<unknown> {
  if (request.do === 'prepare') return prepare(request.task as Task, request.results!);
  if (!current) throw new Error('nothing has been prepared');
  const { perRun, timesPerRun = 1, run, dispose } = current;
  if (request.do === 'measure') {
    return wallTimes({ name: 'work', perRun: perRun * timesPerRun, run: () => run(perRun) }, request.seconds);
  }
  await dispose?.();
  current = undefined;
  return null;
}

try {
  if (bundled) await prepareDrivers();
  const { open } = (await import(module)) as { open: OpenEngine };
  engine = await open(adapter);
  const { version, device, note, handicap } = engine;
  answer({ value: { version, device, note, handicap } });
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      answer({ value: (await respond(JSON.parse(line) as Request)) ?? null });
    } catch (error) {
      answer({ error: messageOf(error) });
    }
  }
} catch (error) {
  answer({ error: messageOf(error) });
}
process.exit(); // engines leave devices and pools open
