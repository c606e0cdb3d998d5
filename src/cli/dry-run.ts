/** Prints the result of `--dry-run`. */
import { mixtureOfSources } from '../data/shares.js';
import type { DryRun } from '../index.js';
import { short } from '../report/numbers.js';
import { evaluationCost } from '../run/evaluations.js';
import { passesOf } from '../run/repeats.js';
import type { CommandResult, Terminal } from './command.js';
import { showBytes } from './numbers.js';
import { schedulePhases, showEvaluations, showPasses, showProbes, showSchedule, showStages } from './show-run.js';
import type { RunTime } from './speed.js';
import { duration } from './study-table.js';

/** The checkpoints that a run leaves, at most: the latest, every so many-th, and the best. */
function keptOf({ checkpoints, keepCheckpoints, keepEvery, keepBest }: DryRun['run']): number {
  const isKept = (i: number) => i > checkpoints - keepCheckpoints || (keepEvery > 0 && i % keepEvery === 0);
  return Array.from({ length: checkpoints + 1 }, (_, i) => i).filter(isKept).length + (keepBest === undefined ? 0 : 1);
}

export function showDryRun(terminal: Terminal, dry: DryRun, time: RunTime): CommandResult {
  const { run, memory, adapter, checkpointBytes, notes } = dry;
  const { refusals, ...bytes } = memory;
  const flops = run.tokens * run.flopsPerToken;
  const microBatches = run.batchTokens / (run.microBatch * run.contextLength);
  const checkpoints = {
    count: run.checkpoints + 1,
    everySteps: run.steps / run.checkpoints,
    bytes: checkpointBytes,
    kept: keptOf(run),
  };
  terminal.print(
    `${run.name}: ${run.method}, ${short(run.parameters.total)} parameters, on ${adapter.name}; nothing was started`,
  );
  terminal.print(
    `${short(run.tokens)} tokens in ${run.steps} steps of ${run.batchTokens} ` +
      `(${microBatches} x ${run.microBatch} sequences of ${run.contextLength}), ${short(flops)} FLOPs`,
  );
  for (const words of [showStages, showPasses, showSchedule, showEvaluations]) {
    const line = words(run);
    if (line !== undefined) terminal.print(line);
  }
  if (run.probes !== undefined) terminal.print(showProbes(run));
  terminal.print(
    `checkpoints: ${checkpoints.count}, before the first step and every ${short(checkpoints.everySteps)} steps, ` +
      `${showBytes(checkpointBytes)} each; ${checkpoints.kept} are kept: ` +
      `${showBytes(checkpoints.kept * checkpointBytes)}`,
  );
  terminal.print(showTime(time));
  terminal.print(
    `device memory, checkpointing: ${run.checkpointing}, moments: ${run.momentType}, ` +
      `gradients: ${run.gradientStorage}, weights: ${run.lora?.baseType ?? run.weightType}`,
  );
  const names = {
    parameters: 'parameters',
    gradients: 'gradients',
    optimizer: 'optimizer state',
    ...(memory.average > 0 && { average: 'average' }),
    activations: 'activations',
    other: 'other',
    peak: 'peak',
  };
  for (const [key, name] of Object.entries(names)) {
    terminal.print(`  ${name.padEnd(16)}${showBytes(bytes[key as keyof typeof names]).padStart(11)}`);
  }
  if (memory.host > 0) terminal.print(`host memory: ${showBytes(memory.host)} of moments`);
  for (const note of notes) terminal.print(note);
  for (const refused of refusals) terminal.print(`this adapter would refuse the run: ${refused}`);
  return {
    name: run.name,
    method: run.method,
    adapter: adapter.name,
    parameters: run.parameters.total,
    tokens: run.tokens,
    steps: run.steps,
    tokensPerStep: run.batchTokens,
    contextLength: run.contextLength,
    microBatch: run.microBatch,
    microBatches,
    checkpointing: run.checkpointing,
    momentType: run.momentType,
    gradientStorage: run.gradientStorage,
    weightType: run.weightType,
    offload: run.offload,
    flops,
    sources: mixtureOfSources(run.sources),
    passes: passesOf(run),
    schedule: { schedule: run.schedule.schedule, peak: run.schedule.learningRate, phases: schedulePhases(run) },
    evaluations: {
      count: run.evaluations + 1,
      everySteps: run.steps / run.evaluations,
      tokens: run.evaluation?.tokens,
      ...evaluationCost(run),
    },
    ...(run.probes !== undefined && { probes: run.probes + 1 }),
    checkpoints,
    time,
    bytes,
    refusals,
    notes,
  };
}

function showTime(time: RunTime): string {
  if ('missing' in time) return `time: not known, ${time.missing}`;
  const { seconds, tokensPerSecond, basis } = time;
  return (
    `time: about ${duration(seconds)}, evaluations among it, at ${short(tokensPerSecond)} tokens/s, ${basis}; ` +
    'tuning and checkpoints are not counted'
  );
}
