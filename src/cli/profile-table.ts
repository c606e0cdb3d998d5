/** Prints the times of `profile`. */
import type { ExchangeProfile } from '../profile/exchange.js';
import type { KernelTime, Profile } from '../profile/profile.js';
import type { Profiled } from '../profile/subject.js';
import { figures, percent, short } from '../report/numbers.js';
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
      `GPU ${figures(gpuMilliseconds)} ms in ${calls} kernels, the rest ${figures(Math.max(0, hostMilliseconds))} ms`,
  );
  terminal.print(
    `ceilings: ${figures(ceilings.flopsPerSecond / 1e9)} GFLOP/s of f32 multiply-adds, ` +
      `${figures(ceilings.bytesPerSecond / 1e9)} GB/s of a copy`,
  );
  return told;
}

export function showExchange(terminal: Terminal, found: ExchangeProfile, library: string): CommandResult {
  const { ranks, parameters, aloneMs, sharedMs, exchange, tokensPerSecond, efficiency } = found;
  const rate = exchange.sentBytes / exchange.ms / 1e6;
  terminal.print(
    textTable(
      [
        'ranks',
        'parameters',
        'alone ms',
        'shared ms',
        'exchange ms',
        'of it waited for',
        'sent MB',
        'GB/s',
        'efficiency',
      ],
      [
        [
          String(ranks),
          short(parameters),
          figures(aloneMs),
          figures(sharedMs),
          figures(exchange.ms),
          figures(exchange.exposedMs),
          figures(exchange.sentBytes / 1e6),
          figures(rate),
          percent(efficiency),
        ],
      ],
    ),
  );
  terminal.print(
    `a step on a rank's share of the batch, alone and with gradients summed by ${library}: ` +
      `${figures(tokensPerSecond)} tokens/s of all ranks`,
  );
  return { ...found, library };
}
