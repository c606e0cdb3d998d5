import type { Command } from 'commander';
import { addEvalForgetting } from './eval-forgetting.js';
import { addEvalLoss } from './eval-loss.js';
import { addEvalProbe } from './eval-probe.js';
import { addEvalTasks } from './eval-tasks.js';

/** Adds the commands `eval loss`, `eval tasks`, `eval probe` and `eval forgetting`. */
export function addEvalCommand(program: Command): void {
  const group = program.command('eval').description('evaluate models');
  addEvalLoss(group);
  addEvalTasks(group);
  addEvalProbe(group);
  addEvalForgetting(group);
}
