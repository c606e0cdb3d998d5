/** The command `plan`: how to spend compute, tokens or parameters according to a law. */
import { UserError } from '../errors.js';
import { makePlan } from '../index.js';
import { percent, short } from '../report/numbers.js';
import { curveLaws } from '../scaling/curve-laws.js';
import type { Plan, PlannedSavings, PlannedStrategy, Span } from '../scaling/plan.js';
import { paperLinesAt } from '../scaling/published.js';
import type { CommandResult, Terminal } from './command.js';
import { duration } from './numbers.js';
import { lawsOf, readLaw } from './plan-law.js';
import { planRanks, printRanks, type RanksOptions } from './plan-ranks.js';
import { planUnique, printRepeated } from './plan-repetition.js';
import { printReplay, type ReplayOptions, replayOf } from './plan-replay.js';
import { isCurveFit, planSchedule, type ScheduleOptions } from './plan-schedule.js';
import { measureSpeed } from './speed.js';
import { makeTable } from './table.js';

interface PlanOptions extends RanksOptions, ReplayOptions, Omit<ScheduleOptions, 'law' | 'parameters' | 'column'> {
  compute?: number;
  tokens?: number;
  parameters?: number;
  law: string;
  other?: string;
  tokensPerSecond?: number;
  measure?: boolean;
  adapter?: string;
  uniqueTokens?: number;
}

/** The command `plan`. */
export async function plan(terminal: Terminal, options: PlanOptions, run: string | undefined): Promise<CommandResult> {
  const law = readLaw(options.law);
  if (isCurveFit(law.json)) return planSchedule(terminal, options, law.json, run);
  if (run !== undefined || options.schedule !== undefined) {
    throw new UserError(`'${options.law}' knows no schedule: the end of a run needs a fit of ${curveLaws.join(', ')}`);
  }
  checkOptions(options);
  const { compute, tokens, parameters, uniqueTokens } = options;
  const { laws, repetition } = lawsOf(law, options.other);
  const plan = makePlan({ compute, tokens, parameters }, laws[0]!, laws.slice(1));
  const { replay, file } = replayOf(options, plan, laws);
  const repeated = uniqueTokens ? planUnique(plan, laws[0]!, uniqueTokens, repetition) : null;
  const wallClock = await wallClockOf(options, plan);
  const ranks = planRanks(options, plan, wallClock);
  const paper = laws.some(({ name }) => name.startsWith('paper-')) ? paperLinesAt(plan.C) : null;
  printPlan(terminal, plan);
  if (paper) {
    terminal.print(
      "The paper's lines of loss against compute alone have, at this compute, " +
        `scratch ${paper.scratchLoss.toFixed(3)} and ` +
        `CPT ${paper.cptLoss.toFixed(3)}: ${percent(paper.flopsSaved)} of the FLOPs saved.`,
    );
  }
  if (repeated) printRepeated(terminal, repeated);
  if (wallClock) {
    const { seconds, flopsPerSecond, source } = wallClock;
    terminal.print(`time: ${duration(seconds)} at ${short(flopsPerSecond)}FLOP/s (${source})`);
  }
  if (ranks) printRanks(terminal, ranks);
  if (replay) printReplay(terminal, replay, file!);
  const warnings = [
    ...plan.warnings,
    ...(repeated?.warnings ?? []),
    ...(wallClock?.warnings ?? []),
    ...(replay?.warnings ?? []),
  ];
  for (const warning of warnings) terminal.print(`warning: ${warning}`);
  return { ...plan, lossComputeLines: paper, wallClock, ranks, replay, repeated, warnings };
}

function checkOptions(options: PlanOptions): void {
  const { compute, tokens, parameters, replayPoints, sourceLossLimit, measure, tokensPerSecond } = options;
  if (compute === undefined && tokens === undefined && parameters === undefined) {
    throw new UserError('give --compute, --tokens or --parameters to plan with');
  }
  if (compute !== undefined && (tokens !== undefined || parameters !== undefined)) {
    throw new UserError('give --compute, or --parameters and --tokens: compute is 6 · parameters · tokens');
  }
  if ((replayPoints === undefined) !== (sourceLossLimit === undefined)) {
    throw new UserError('--replay-points and --source-loss-limit go together');
  }
  if (measure && tokensPerSecond !== undefined) throw new UserError('give --measure or --tokens-per-second, not both');
}

export interface WallClock {
  readonly seconds: number;
  readonly flopsPerSecond: number;
  readonly source: string;
  readonly warnings: readonly string[];
}

async function wallClockOf({ tokensPerSecond, measure, adapter }: PlanOptions, plan: Plan): Promise<WallClock | null> {
  const { C } = plan;
  if (tokensPerSecond !== undefined) {
    const flopsPerSecond = 6 * (plan.given?.N ?? plan.N_opt) * tokensPerSecond;
    return {
      seconds: C / flopsPerSecond,
      flopsPerSecond,
      source: `${short(tokensPerSecond)} tokens/s given`,
      warnings: [],
    };
  }
  if (!measure) return null;
  const speed = await measureSpeed(adapter);
  const model = `a model of ${short(speed.parameters)} parameters`;
  return {
    ...speed,
    seconds: C / speed.flopsPerSecond,
    source: `measured on ${speed.adapter}, ${model}`,
    warnings: [`the time is by FLOPs from ${model}; larger ones run at another rate, and may not fit this machine`],
  };
}

const range = (span: Span | null, show: (value: number) => string): string =>
  span ? `${show(span[0])} … ${show(span[1])}` : '';

function printPlan(terminal: Terminal, plan: Plan): void {
  terminal.print(`plan for C = ${plan.C.toPrecision(4)} FLOPs (6 · N · D)`);
  const strategies: PlannedStrategy[] = [plan, ...plan.others];
  const head = ['law', 'N_opt', 'D_opt', 'D/N', 'loss', 'a', 'b', 'G'];
  const intervals = strategies.some(({ lossInterval }) => lossInterval !== null);
  const table = makeTable(head);
  for (const each of strategies) {
    const { law, N_opt, D_opt, tokensPerParameter, loss, a, b, G } = each;
    table.push([
      law,
      short(N_opt),
      short(D_opt),
      short(tokensPerParameter),
      loss.toFixed(4),
      a.toFixed(4),
      b.toFixed(4),
      short(G),
    ]);
    if (!intervals) continue;
    const { N_optInterval, D_optInterval, lossInterval } = each;
    const loss95 = range(lossInterval, value => value.toFixed(3));
    table.push([
      lossInterval ? '  95%' : '',
      range(N_optInterval, short),
      range(D_optInterval, short),
      '',
      loss95,
      '',
      '',
      '',
    ]);
  }
  terminal.print(table.toString());
  if (plan.given) {
    const { N, D, loss, lossInterval } = plan.given;
    const spread = lossInterval ? ` (95%: ${range(lossInterval, value => value.toFixed(4))})` : '';
    terminal.print(
      `given: ${short(N)} parameters, ${short(D)} tokens: loss ${loss.toFixed(4)}${spread} by '${plan.law}'`,
    );
  }
  for (const savings of plan.savings) printSavings(terminal, savings);
}

function printSavings(terminal: Terminal, savings: PlannedSavings): void {
  const { scratch, cpt, N, D, loss, lossScratch, scratchTokens, effectivelyTransferred, flopsSaved } = savings;
  const share = (value: number | null) => (value === null ? 'none: scratch never gets there' : percent(value));
  const table = makeTable([`'${cpt}' against '${scratch}'`, `${short(N)} parameters, ${short(D)} tokens`]);
  table.push(
    ['loss of CPT', loss.toFixed(4)],
    ['loss of scratch', lossScratch.toFixed(4)],
    ["tokens that scratch needs for CPT's loss", scratchTokens === null ? 'none are enough' : short(scratchTokens)],
    ['effectively transferred tokens', effectivelyTransferred === null ? '' : short(effectivelyTransferred)],
    ['FLOPs saved at equal loss', share(flopsSaved)],
  );
  if (savings.flopsSavedInterval) table.push(['  95%', range(savings.flopsSavedInterval, percent)]);
  table.push(['FLOPs saved between the optima', share(savings.flopsSavedAtOptimum)]);
  if (savings.aheadUpTo !== null) table.push(['CPT is ahead up to, tokens', short(savings.aheadUpTo)]);
  terminal.print(table.toString());
}
