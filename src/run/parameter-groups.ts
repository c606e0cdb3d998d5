/** Parameters that a run trains otherwise than the rest, or not at all: from its configuration to rules in steps. */
import { z } from 'zod';
import type { Origin } from '../checkpoint/training-record.js';
import { UserError } from '../errors.js';
import type { ModelConfig } from '../model/config.js';
import { adapterGroups, type LoraSettings } from '../model/lora.js';
import { parameterGroups as groupsOf, type ParameterGroup } from '../model/parameters.js';
import { type ParameterRule, treatmentsOf } from '../train/parameter-rules.js';

const match = z.array(z.string().min(1)).min(1).describe('names as in the checkpoint; * stands for any characters');
const learningRate = z.number().positive().optional().describe('a factor of the scheduled learning rate');
const weightDecay = z.number().min(0).optional().describe('weight decay');
const amount = { error: 'it is neither a number of tokens nor a share such as 40%' };
const frozen = z.literal(true).optional().describe('whether they keep their values');

/** A group of parameters as it is configured. */
export const parameterGroupSchema = z.strictObject({
  match,
  learningRate,
  weightDecay,
  frozen,
  from: z
    // what aborts leaves the other form to be tried: 2_000 is text before it is a number
    .union([z.string(amount).regex(/^\d+(\.\d+)?%$/, { ...amount, abort: true }), z.number().positive()])
    .optional()
    .describe('tokens, or a share of the run as in 40%, in which they keep their values'),
  newRows: z
    .union([z.literal(true), z.int().positive()])
    .optional()
    .describe('embedding and head: only the rows of new tokens are trained; or the id of the first of these'),
});
export type ConfiguredGroup = z.infer<typeof parameterGroupSchema>;

/** The same as a run records it. */
export const parameterRuleSchema = z.object({
  match,
  learningRate,
  weightDecay,
  frozen,
  frozenSteps: z.int().positive().optional(),
  keptRows: z.int().positive().optional(),
});

/** What decides how a run's parameters are trained. */
interface Trained {
  readonly model: ModelConfig;
  readonly optimizer: { readonly weightDecay: number };
  readonly parameterGroups?: readonly ParameterRule[] | undefined;
  readonly freezeBodySteps: number;
  readonly lora?: LoraSettings | undefined;
}

/**
 * Returns the rules of a run.
 * @throws UserError when fields contradict each other, or don't fit the run or its source.
 */
export function parameterRulesOf(
  groups: readonly ConfiguredGroup[],
  run: { readonly steps: number; readonly batchTokens: number },
  source: Origin | undefined,
): z.infer<typeof parameterRuleSchema>[] {
  return groups.map(({ from, newRows, ...rule }, i) => {
    const where = `parameterGroups.${i}`;
    const others = Object.keys({ ...groups[i] }).filter(key => key !== 'match' && key !== 'frozen');
    if (rule.frozen && others.length > 0) {
      throw new UserError(`${where}: what is frozen for good has no ${others.join(', ')}; leave out one or the other`);
    }
    return {
      ...rule,
      ...(from !== undefined && { frozenSteps: frozenStepsOf(from, run, where) }),
      ...(newRows !== undefined && { keptRows: keptRowsOf(newRows, source, where) }),
    };
  });
}

function frozenStepsOf(
  from: number | string,
  { steps, batchTokens }: { readonly steps: number; readonly batchTokens: number },
  where: string,
): number {
  const frozen =
    typeof from === 'number' ? Math.round(from / batchTokens) : Math.round((Number.parseFloat(from) / 100) * steps);
  if (frozen >= 1 && frozen < steps) return frozen;
  throw new UserError(
    `${where}: from ${from} is step ${frozen} of ${steps} (a batch has ${batchTokens} tokens): it has to be after ` +
      'the first step and before the last; leave it out to train from the start, or use frozen: true',
  );
}

function keptRowsOf(newRows: number | true, source: Origin | undefined, where: string): number {
  const first = newRows === true ? source?.firstNewToken : newRows;
  if (first !== undefined) return first;
  const why = source ? `'${source.checkpoint}' does not say which of its rows are new` : 'newRows: true is for cpt';
  throw new UserError(
    `${where}: ${why}; give newRows the id of the first new token, which is the number of tokens before`,
  );
}

const treatmentsIn = ({ model, optimizer: { weightDecay }, parameterGroups, freezeBodySteps, lora }: Trained) =>
  treatmentsOf(model, { weightDecay, parameterGroups, frozenSteps: freezeBodySteps, lora });

/** Returns the groups of a model's parameters of which a run trains any. @throws UserError where rules don't fit. */
export function trainedGroups(run: Trained): ParameterGroup[] {
  const treatments = treatmentsIn(run);
  const groups = [...groupsOf(run.model), ...(run.lora ? adapterGroups(run.model, run.lora) : [])];
  return groups.filter(({ name }) => !treatments.get(name)!.frozen);
}

/** Says how many parameters a run trains, and from when on, where those are not all from the start. */
export function parameterNotes(run: Trained & { readonly parameters: { readonly total: number } }): string[] {
  if (!run.parameterGroups) return [];
  const treatments = treatmentsIn(run);
  const counts = new Map<number, number>();
  for (const { name, shape } of groupsOf(run.model)) {
    const { frozen, frozenSteps, kept } = treatments.get(name)!;
    const own = frozen ? 0 : shape.reduce((product, n) => product * n, 1) - kept;
    counts.set(frozenSteps, (counts.get(frozenSteps) ?? 0) + own);
  }
  const show = (value: number) => value.toLocaleString('en-US');
  const stages = [...counts].filter(([steps, count]) => steps > 0 && count > 0).sort(([a], [b]) => a - b);
  const later = stages.map(([steps, count]) => `, ${show(count)} more from step ${steps + 1} on`);
  return [`of ${show(run.parameters.total)} parameters ${show(counts.get(0) ?? 0)} are trained${later.join('')}`];
}
