/**
 * Compiles kernels one at a time in a process of its own, since what a driver says of them goes to the stderr of its
 * process. A marker before and after each tells which kernel is meant, and goes to stdout too, to tell how far it is.
 */
import { writeSync } from 'node:fs';
import { messageOf, UserError } from '../errors.js';
import { openDevice } from '../gpu/open-device.js';
import { kernelsOf } from './kernels.js';
import { type Compiled, markerLine, type Task, type TaskResult } from './task.js';

async function compileAll({ models, names, adapter }: Task): Promise<TaskResult> {
  const device = await openDevice({ adapter });
  try {
    const kernels: Compiled[] = [];
    const wanted = kernelsOf(device.adapter, models, names);
    for (const [i, { source, ...kernel }] of wanted.entries()) {
      const say = (side: 'begin' | 'end') => {
        for (const stream of [1, 2]) writeSync(stream, `\n${markerLine(side, i, wanted.length, kernel.label)}\n`);
      };
      say('begin');
      const began = performance.now();
      const failure = await device.compile(kernel.label, source).then(() => undefined, messageOf);
      kernels.push({ ...kernel, seconds: (performance.now() - began) / 1000, failure });
      say('end');
    }
    return { adapter: device.adapter, kernels };
  } finally {
    device.close();
  }
}

const result = await compileAll(JSON.parse(process.argv[2]!) as Task).catch((error: unknown): TaskResult => {
  if (error instanceof UserError) return { error: error.message };
  throw error;
});
process.stdout.write(`${JSON.stringify(result)}\n`);
