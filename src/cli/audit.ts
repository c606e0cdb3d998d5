/** The command `audit`: whether the kernels of an adapter are right, and what changed between two audits. */
import { join } from 'node:path';
import { audit, writeAudit } from '../audit/audit.js';
import { compareAudits } from '../audit/compare.js';
import { driftOf, type SideOptions } from '../audit/drift.js';
import { familiesOf } from '../audit/kernels.js';
import { hasFailed, type ProblemFile, readProblem, replayProblem } from '../audit/replay.js';
import { replayOp } from '../audit/replay-op.js';
import { readAudit } from '../audit/report.js';
import { type LossScaleSpan, readRunHealth } from '../audit/run-health.js';
import { failureLine, SUMMARY_HEAD, show, summaryRows } from '../audit/summary.js';
import { checkFilePlace } from '../files.js';
import type { Device } from '../gpu/device.js';
import { openDevice } from '../index.js';
import { madeBy } from '../report/made.js';
import { isOpFile, type RecordedOp, readOp } from '../train/recorded-op.js';
import type { CommandResult, Terminal } from './command.js';
import { takeLimits } from './health.js';
import { makeTable } from './table.js';

const SHOWN_FAILURES = 20;
const SHOWN_SPANS = 12;

/** The command `audit kernels`. */
export async function auditKernels(
  terminal: Terminal,
  { adapter, quick = false, out }: { adapter?: string; quick?: boolean; out?: string },
  names: string[],
): Promise<CommandResult> {
  const families = familiesOf(names);
  if (out) checkFilePlace(join(out, 'audit.json'));
  const devices: [Device, ...Device[]] = [await openDevice({ adapter })];
  const [device] = devices;
  try {
    terminal.note(`adapter: ${device.adapter.name} (${device.adapter.driver})`);
    if (families.length > 1 && device.adapter.kind !== 'hardware') devices.push(await openDevice({ adapter }));
    const progress = terminal.progress('audit', families.length, 'kernels');
    const onProgress = (done: number, kernel: string) => progress.update(done, kernel);
    const found = await audit(devices, { names, quick, onProgress }).finally(() => progress.stop());
    const { report } = found;
    if (out) writeAudit(out, found, madeBy(commandOf(names, { adapter, quick, out })));
    const table = makeTable([...SUMMARY_HEAD]);
    table.push(...summaryRows(report));
    terminal.print(table.toString());
    terminal.print('ulp: of inputs between -2 and 2; of bound: of all inputs, 1 is what arithmetic allows');
    for (const [name, state] of Object.entries(report.arithmetic)) terminal.print(`${name}: ${state}`);
    const failures = report.checks.filter(({ passed }) => !passed);
    for (const check of failures.slice(0, SHOWN_FAILURES)) terminal.print(`FAILED ${failureLine(check)}`);
    if (failures.length > SHOWN_FAILURES) terminal.print(`and ${failures.length - SHOWN_FAILURES} more`);
    terminal.print(`${report.passed} checks passed, ${report.failed} failed, in ${report.seconds} s`);
    if (out) terminal.print(`report: ${join(out, 'audit.html')}`);
    if (report.failed > 0) process.exitCode = 1;
    return { ...report };
  } finally {
    for (const device of devices) device.close();
  }
}

const commandOf = (names: readonly string[], given: { adapter: string | undefined; quick: boolean; out: string }) =>
  [
    'audit kernels',
    ...names,
    ...(given.quick ? ['--quick'] : []),
    ...(given.adapter === undefined ? [] : ['--adapter', given.adapter]),
    '--out',
    given.out,
  ].join(' ');

/** The command `audit compare`. */
export async function auditCompare(terminal: Terminal, _: object, a: string, b: string): Promise<CommandResult> {
  const comparison = compareAudits(readAudit(a!), readAudit(b!));
  const table = makeTable([
    'kernel, variant',
    'failed A',
    'failed B',
    'ulp mean A',
    'ulp mean B',
    'of bound A',
    'of bound B',
  ]);
  for (const { key, a, b } of comparison.kernels) {
    table.push([
      key,
      show(a?.failed),
      show(b?.failed),
      show(a?.ulpMean),
      show(b?.ulpMean),
      show(a?.share),
      show(b?.share),
    ]);
  }
  terminal.print(
    `A: ${comparison.a.adapter}, ${comparison.a.version}\nB: ${comparison.b.adapter}, ${comparison.b.version}`,
  );
  terminal.print(table.toString());
  for (const { name, a, b } of comparison.arithmetic) terminal.print(`${name}: A ${a}, B ${b}`);
  for (const line of comparison.newlyFailing) terminal.print(`fails in B alone: ${line}`);
  terminal.print(`${comparison.same} checks have the same value in both, ${comparison.changed} differ`);
  if (comparison.newlyFailing.length > 0) process.exitCode = 1;
  return { ...comparison };
}

interface RunOptions {
  adapter?: string;
  lossSpike: number;
  drift?: string;
  steps: number;
  [limit: string]: unknown;
}

/** The command `audit run`. */
export async function auditRun(
  terminal: Terminal,
  { adapter, lossSpike, drift, steps, ...options }: RunOptions,
  folder: string,
): Promise<CommandResult> {
  if (drift !== undefined) return showDrift(terminal, folder!, steps, adapter, drift);
  const health = readRunHealth(folder!, takeLimits(options, ''), lossSpike);
  const last = health.lines.at(-1);
  if (last) {
    const table = makeTable([
      'parameter',
      'weight rms',
      'gradient rms',
      'gradient max',
      'zeros',
      'subnormal',
      'gradient/weight',
      'update/weight',
    ]);
    for (const { name, weight, gradient, gradientToWeight, updateToWeight } of last.parameters) {
      const { rms, amax, zeros, subnormal } = gradient;
      table.push([
        name,
        show(weight.rms),
        show(rms),
        show(amax),
        ...[zeros, subnormal, gradientToWeight, updateToWeight].map(show),
      ]);
    }
    terminal.print(`step ${last.step}`);
    terminal.print(table.toString());
  } else terminal.print('the run was not watched: train --audit writes what its tensors look like');
  for (const line of lossScaleLines(health.lossScales)) terminal.print(line);
  for (const warning of health.warnings.slice(0, SHOWN_FAILURES)) terminal.print(`warning: ${warning}`);
  const hidden = health.warnings.length - SHOWN_FAILURES;
  if (hidden > 0) terminal.print(`and ${hidden} more`);
  terminal.print(`${health.steps} steps, ${health.lines.length} looks, ${health.warnings.length} warnings`);
  if (health.warnings.length > 0) process.exitCode = 1;
  return { ...health };
}

/** Returns the last changes of the loss scale, oldest first. */
function lossScaleLines(spans: readonly LossScaleSpan[]): string[] {
  if (spans.length === 0) return [];
  const drops = spans.filter(({ lossScale }, i) => i > 0 && lossScale < spans[i - 1]!.lossScale).length;
  const skipped = spans.reduce((sum, span) => sum + span.skipped, 0);
  const shown = spans.slice(-SHOWN_SPANS).map(({ from, to, lossScale, skipped }) => {
    return `  steps ${from} to ${to}: ${lossScale}${skipped > 0 ? `, ${skipped} skipped` : ''}`;
  });
  const hidden = spans.length - shown.length;
  return [
    `loss scale: ${drops} drops, ${skipped} steps ` +
      `skipped${hidden > 0 ? `; the last ${shown.length} of ${spans.length} values:` : ''}`,
    ...shown,
  ];
}

async function showDrift(
  terminal: Terminal,
  folder: string,
  steps: number,
  adapter: string | undefined,
  other: string,
): Promise<CommandResult> {
  const devices: Device[] = [];
  const open = async (name: string | undefined) => {
    const device = await openDevice({ adapter: name });
    devices.push(device);
    return device;
  };
  try {
    const device = await open(adapter);
    const a: SideOptions = { device, precision: 'f32' };
    const b: SideOptions =
      other === 'float64'
        ? other
        : other === 'f16'
          ? { device, precision: 'f16' }
          : { device: await open(other), precision: 'f32' };
    const drift = await driftOf(folder, steps, a, b);
    terminal.print(`${drift.a} against ${drift.b}`);
    const table = makeTable(['step', 'loss', 'gradients', 'weights']);
    for (const { step, loss, gradients, weights } of drift.lines) {
      table.push([step, loss.toExponential(2), gradients.toExponential(2), weights.toExponential(2)]);
    }
    terminal.print(table.toString());
    terminal.print('relative: of the loss, and the norm of the difference over all parameters');
    return { ...drift };
  } finally {
    for (const device of devices) device.close();
  }
}

/** The command `audit replay`. */
export async function auditReplay(
  terminal: Terminal,
  { adapter }: { adapter?: string },
  path: string,
): Promise<CommandResult> {
  const isOp = isOpFile(path!);
  const replay = isOp ? replayOpFile(terminal, readOp(path!)) : replayProblemFile(terminal, readProblem(path!));
  const device = await openDevice({ adapter, checked: true }); // what runs may come from a stranger
  try {
    terminal.note(`adapter: ${device.adapter.name} (${device.adapter.driver})`);
    return await replay(device);
  } finally {
    device.close();
  }
}

const replayProblemFile =
  (terminal: Terminal, file: ProblemFile) =>
  async (device: Device): Promise<CommandResult> => {
    const replayed = await replayProblem(device, file);
    const { variant, metric, value, output, index } = file.worst;
    terminal.print(`${file.kernel}, ${file.shape}, ${file.inputClass}`);
    const where = output === undefined || index === undefined ? '' : ` at [${index}] of ${output}`;
    terminal.print(`was ${metric} ${show(value)}${where}, ${variant}`);
    const table = makeTable(['variant', 'output', 'of bound', 'ulp', 'worst at', 'value', 'exact', 'bound']);
    for (const { variant, outputs } of replayed) {
      for (const { output, errors, worst } of outputs) {
        const { index, actual, exact, bound } = worst;
        const row = [show(errors.shares.max), show(errors.ulps.max), index, actual, exact, show(bound)];
        table.push([variant, output, ...row]);
      }
    }
    if (table.length > 0) terminal.print(table.toString());
    for (const { variant, strayWrites, unwritten, unequal, isLost } of replayed) {
      if (strayWrites > 0) terminal.print(`${variant}: ${strayWrites} stray writes`);
      if (unwritten > 0) terminal.print(`${variant}: ${unwritten} elements unwritten`);
      if (unequal > 0) terminal.print(`${variant}: ${unequal} elements differ between runs`);
      if (isLost) terminal.print(`${variant}: no result shows that an input is not finite`);
    }
    const failed = replayed.filter(hasFailed).length;
    terminal.print(`${replayed.length} variants, ${failed} failed`);
    if (failed > 0) process.exitCode = 1;
    return { kernel: file.kernel, shape: file.shape, inputClass: file.inputClass, was: file.worst, replayed };
  };

const replayOpFile =
  (terminal: Terminal, op: RecordedOp) =>
  async (device: Device): Promise<CommandResult> => {
    const { found } = op;
    terminal.print(`'${op.op}' on ${op.adapter}: ${found.value} at index ${found.index} of '${found.tensor}'`);
    const { inputs, results } = await replayOp(device, op);
    const table = makeTable(['tensor', '', 'values', 'not finite', 'first at', 'largest']);
    for (const [kind, tensors] of [
      ['input', inputs],
      ['result', results],
    ] as const) {
      for (const { name, count, nonFinite, firstNonFinite, amax } of tensors) {
        table.push([name, kind, count, nonFinite, nonFinite > 0 ? firstNonFinite : '', show(amax)]);
      }
    }
    terminal.print(table.toString());
    if (results.some(({ nonFinite }) => nonFinite > 0)) process.exitCode = 1;
    return { op: op.op, adapter: op.adapter, found, inputs, results };
  };
