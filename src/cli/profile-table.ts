/** Prints the times of `profile`. */
import type { KernelTime, Profile } from '../profile/profile.js';
import type { Profiled } from '../profile/subject.js';
import { figures, percent } from '../report/numbers.js';
import type { CommandResult, Terminal } from './command.js';
import { textTable } from './table.js';

const UNITS = { flops: 'GFLOP/s', bytes: 'GB/s' } as const;

const kernelRow = ({ label, calls, milliseconds, share, rate }: KernelTime): string[] => [
  label,
  String(calls),
  figures(milliseconds),
  `${(100 * share).toFixed(1)}%`,
  rate ? `${figures(rate.perSecond / 1e9)} ${UNITS[rate.of]}` : '',
  rate ? percent(rate.ofCeiling) : '',
];

/** What was run, and on how many tokens. */
function subjectWords({ what, settings }: Profiled): string {
  const { B, T } = settings;
  if (what === 'decode') return `a step of decoding (token ${T} of ${B} sequence${B > 1 ? 's' : ''})`;
  const batch = `${B} x ${T} tokens`;
  if (what === 'eval') return `an evaluation (${batch})`;
  const isRepeated = what === 'step' && settings.microBatches > 1;
  return isRepeated ? `a step (${settings.microBatches} micro-batches of ${batch})` : `a step (${batch})`;
}

export function showProfile(terminal: Terminal, found: Profile, profiled: Profiled): CommandResult {
  const { replay: _, ...told } = found;
  const { kernels, ceilings, gpuMilliseconds, wallMilliseconds, hostMilliseconds, tokensPerSecond } = told;
  terminal.print(textTable(['kernel', 'calls', 'ms', 'share', 'rate', 'of ceiling'], kernels.map(kernelRow)));
  const calls = kernels.reduce((sum, kernel) => sum + kernel.calls, 0);
  terminal.print(
    `${subjectWords(profiled)}: ${figures(wallMilliseconds)} ms, ${figures(tokensPerSecond)} tokens/s; ` +
      `GPU ${figures(gpuMilliseconds)} ms in ${calls} kernels, the rest ${figures(hostMilliseconds)} ms`,
  );
  terminal.print(
    `ceilings: ${figures(ceilings.flopsPerSecond / 1e9)} GFLOP/s of f32 multiply-adds, ` +
      `${figures(ceilings.bytesPerSecond / 1e9)} GB/s of a copy`,
  );
  return told;
}
