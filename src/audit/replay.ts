/** A problem as a file: which kernel, shape and inputs, and where the error was. It is posed again to today's kernels. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { messageOf, UserError } from '../errors.js';
import { writeFileWhole } from '../files.js';
import type { Device } from '../gpu/device.js';
import { Bench } from './bench.js';
import type { Worst } from './kernels.js';
import { type Errors, errorsOf } from './measure.js';
import { type Given, givenOf, type Problem } from './problem.js';
import { FAMILIES } from './subjects/index.js';

export const PROBLEM_FORMAT = 'babelgrad-problem-1';

const schema = z.object({
  format: z.literal(PROBLEM_FORMAT),
  family: z.string(),
  kernel: z.string(),
  shape: z.string(),
  inputClass: z.string(),
  /** Where the largest error was when the file was written. */
  worst: z.object({ variant: z.string(), output: z.string(), index: z.number(), share: z.number().nullable() }),
  /** float64 values in base64, by the name of the input. */
  given: z.record(z.string(), z.string()),
});
export type ProblemFile = z.infer<typeof schema>;

export function writeProblem(path: string, { family, problem, variant, output, index, share }: Worst): void {
  const { kernel, shape, inputClass } = problem;
  const given = Object.entries(givenOf(problem)).map(([name, values]) => [
    name,
    Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64'),
  ]);
  const file: ProblemFile = {
    format: PROBLEM_FORMAT,
    family,
    kernel,
    shape,
    inputClass,
    worst: { variant, output, index, share: Number.isFinite(share) ? share : null },
    given: Object.fromEntries(given),
  };
  writeFileWhole(path, `${JSON.stringify(file)}\n`);
}

/** @throws UserError when the file is missing or not a problem's. */
export function readProblem(path: string): ProblemFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    throw new UserError(`there is no file '${path}'`);
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw new UserError(`'${path}' is not a problem that an audit wrote (${PROBLEM_FORMAT}): ${messageOf(error)}`);
  }
}

export interface Replayed {
  readonly variant: string;
  readonly output: string;
  readonly errors: Errors;
  /** Of the element with the largest error. */
  readonly worst: { readonly index: number; readonly actual: number; readonly exact: number; readonly bound: number };
}

/** Poses the problem of a file to every variant that the device runs. @throws UserError when it has no such problem. */
export async function replayProblem(device: Device, file: ProblemFile): Promise<Replayed[]> {
  const problem = find(device, file);
  if (!problem) {
    throw new UserError(
      `'${device.adapter.name}' has no case '${file.kernel}', ${file.shape}, ${file.inputClass} (any more)`,
    );
  }
  const given: Given = Object.fromEntries(
    Object.entries(file.given).map(([name, text]) => {
      const bytes = Uint8Array.from(Buffer.from(text, 'base64'));
      return [name, new Float64Array(bytes.buffer)];
    }),
  );
  const bench = new Bench(device, { repeats: 1 });
  try {
    const expected = Object.entries(problem.expected(given));
    const runs = await bench.run(problem, given);
    return [...runs].flatMap(([variant, run]) =>
      expected.map(([output, { reference, bound }]): Replayed => {
        const { type, isWritten } = problem.outputs[output]!;
        const actual = run.values[output]!;
        const errors = errorsOf(actual, reference, bound, type, isWritten);
        const index = errors.worst;
        return {
          variant,
          output,
          errors,
          worst: { index, actual: actual[index]!, exact: reference[index]!, bound: bound[index]! },
        };
      }),
    );
  } finally {
    bench.destroy();
  }
}

function find({ adapter }: Device, { family: name, kernel, shape, inputClass }: ProblemFile): Problem | undefined {
  const family = FAMILIES.find(family => family.name === name);
  for (const quick of [true, false]) {
    for (const problem of family?.problems({ adapter, quick }) ?? []) {
      if (problem.kernel === kernel && problem.shape === shape && problem.inputClass === inputClass) return problem;
    }
  }
  return undefined;
}
