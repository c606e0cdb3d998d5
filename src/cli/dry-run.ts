/** What `--dry-run` prints. */
import type { DryRun } from '../index.js';
import { short } from '../report/words.js';
import type { CommandResult, Terminal } from './command.js';

export function showDryRun(terminal: Terminal, { run, memory, adapter, notes }: DryRun): CommandResult {
  const { refusals, ...bytes } = memory;
  const flops = run.tokens * run.flopsPerToken;
  const microBatches = run.batchTokens / (run.microBatch * run.contextLength);
  terminal.print(
    `${run.name}: ${run.method}, ${short(run.parameters.total)} parameters, on ${adapter.name}; nothing was started`,
  );
  terminal.print(
    `${short(run.tokens)} tokens in ${run.steps} steps of ${run.batchTokens} ` +
      `(${microBatches} x ${run.microBatch} sequences of ${run.contextLength}), ${short(flops)} FLOPs`,
  );
  terminal.print(`device memory, checkpointing: ${run.checkpointing}`);
  const names = {
    parameters: 'parameters',
    gradients: 'gradients',
    optimizer: 'optimizer state',
    activations: 'activations',
    other: 'other',
    peak: 'peak',
  };
  for (const [key, name] of Object.entries(names)) {
    terminal.print(`  ${name.padEnd(16)}${showBytes(bytes[key as keyof typeof names]).padStart(11)}`);
  }
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
    flops,
    bytes,
    refusals,
    notes,
  };
}

/** Bytes as KiB, MiB or GiB. */
function showBytes(bytes: number): string {
  const power = Math.min(3, Math.max(1, Math.floor(Math.log2(bytes) / 10)));
  return `${(bytes / 1024 ** power).toFixed(1)} ${'KMG'[power - 1]}iB`;
}
