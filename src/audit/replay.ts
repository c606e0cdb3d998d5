/**
 * A problem as a file: which kernel, shape and inputs, and where the error was. It is posed again to today's kernels.
 */
import { z } from 'zod';
import { Bench, type Outcome } from '../cases/bench.js';
import { type Expected, type Given, givenOf, type Problem } from '../cases/case.js';
import { UserError } from '../errors.js';
import { writeFileWhole } from '../files.js';
import type { Device } from '../gpu/device.js';
import { parseJson, readText } from '../input-files.js';
import { inWords, whyInvalid } from '../schema.js';
import { type Errors, errorsOf } from './error-units.js';
import type { KeptInput } from './kept.js';
import { isSeen } from './non-finite.js';
import { FAMILIES } from './subjects/index.js';

const PROBLEM_FORMAT = 'babelgrad-problem-2';
/** Runs of each variant, which must give the same bits. */
const REPEATS = 3;

const schema = z.object({
  format: z.literal(PROBLEM_FORMAT),
  family: z.string(),
  kernel: z.string(),
  shape: z.string(),
  inputClass: z.string(),
  /** What it was kept for: a metric and its value, of the bound where it is an error; null is not finite. */
  worst: z.object({
    variant: z.string(),
    metric: z.string(),
    value: z.number().nullable(),
    output: z.string().optional(),
    index: z.number().optional(),
  }),
  /** float64 values in base64, by the name of the input. */
  given: z.record(z.string(), z.string()),
});
export type ProblemFile = z.infer<typeof schema>;

export function writeProblem(path: string, { family, problem, given, check, index }: KeptInput): void {
  const { kernel, shape, inputClass } = problem;
  const { variant, metric, value, output } = check;
  const encoded = Object.entries(given ?? givenOf(problem)).map(([name, values]) => [
    name,
    Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64'),
  ]);
  const file: ProblemFile = {
    format: PROBLEM_FORMAT,
    family,
    kernel,
    shape,
    inputClass,
    worst: { variant, metric, value, output, index },
    given: Object.fromEntries(encoded),
  };
  writeFileWhole(path, `${JSON.stringify(file)}\n`);
}

/** @throws UserError when the file is missing or not a problem's. */
export function readProblem(path: string): ProblemFile {
  const text = readText(path);
  try {
    return schema.parse(parseJson(text), inWords);
  } catch (error) {
    throw new UserError(`'${path}' is not a problem that an audit wrote (${PROBLEM_FORMAT}): ${whyInvalid(error)}`);
  }
}

export interface ReplayedOutput {
  readonly output: string;
  readonly errors: Errors;
  /** The element with the largest error. */
  readonly worst: { readonly index: number; readonly actual: number; readonly exact: number; readonly bound: number };
}

/** What a variant makes of the inputs now. */
export interface Replayed extends Pick<Outcome, 'strayWrites' | 'unwritten' | 'unequal'> {
  readonly variant: string;
  /** What came out, where all inputs are finite. */
  readonly outputs: readonly ReplayedOutput[];
  /** Whether inputs are not finite and no result shows it. */
  readonly isLost: boolean;
}

/** Whether anything of it would fail an audit. */
export const hasFailed = ({ outputs, strayWrites, unwritten, unequal, isLost }: Replayed): boolean =>
  isLost || strayWrites + unwritten + unequal > 0 || outputs.some(({ errors }) => !(errors.shares.max <= 1));

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
  const areFinite = Object.values(given).every(values => values.every(Number.isFinite));
  const bench = new Bench(device, { repeats: REPEATS });
  try {
    const expected = Object.entries(problem.expected(given));
    return [...(await bench.run(problem, given))].map(([variant, { values, strayWrites, unwritten, unequal }]) => ({
      variant,
      strayWrites,
      unwritten,
      unequal,
      outputs: areFinite ? expected.map(([output, one]) => replayedOutput(problem, output, one, values[output]!)) : [],
      isLost: !areFinite && !isSeen(problem, values),
    }));
  } finally {
    bench.destroy();
  }
}

function replayedOutput(
  { outputs }: Problem,
  output: string,
  { reference, bound }: Expected,
  actual: Float32Array,
): ReplayedOutput {
  const { type, isWritten } = outputs[output]!;
  const errors = errorsOf(actual, reference, bound, type, isWritten);
  const index = errors.worst;
  const worst = { index, actual: actual[index]!, exact: reference[index]!, bound: bound[index]! };
  return { output, errors, worst };
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
