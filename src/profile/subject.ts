/**
 * The subjects of a profile: the commands of a training step, an evaluation or a step of decoding, and how a verb would
 * run them.
 */
import type { CommandSource, Plan } from '../autograd/plan.js';
import { bytesOf } from '../autograd/tensor.js';
import { UserError } from '../errors.js';
import { TokenLosses } from '../eval/token-losses.js';
import { CachedModel } from '../generate/cached-model.js';
import type { Command } from '../gpu/program.js';
import type { BatchOptions } from '../model/batch.js';
import type { ModelConfig } from '../model/config.js';
import type { BatchShape } from '../model/llama.js';
import type { Model } from '../model/model.js';
import { Random } from '../random.js';
import { Trainer } from '../train/step.js';
import type { TrainerSettings } from '../train/traced-step.js';

export const SUBJECTS = ['step', 'eval', 'decode'] as const;
export type SubjectName = (typeof SUBJECTS)[number];

/** What is to be profiled, of which model, and on how large a batch. */
export type Profiled = { readonly config: ModelConfig } & (
  | { readonly what: 'step'; readonly settings: TrainerSettings }
  | { readonly what: 'eval' | 'decode'; readonly settings: BatchShape & Pick<BatchOptions, 'documentEnd'> }
);

/**
 * Plans and compiles a subject, on a model of its own configuration.
 * @throws UserError when it does not fit the adapter.
 */
export function makeSubject(model: Model, { what, settings }: Profiled): Promise<Subject> {
  if (what === 'step') return stepSubject(model, settings);
  return what === 'eval' ? evaluationSubject(model, settings) : decodingSubject(model, settings);
}

export interface Subject {
  /** The commands that are replayed for the times of kernels: every replay does the same work. */
  readonly commands: readonly Command[];
  /** The sources of those commands that come from a graph. */
  readonly sources: ReadonlyMap<Command, CommandSource>;
  /** The tokens that one run trains on, scores or decodes. */
  readonly tokens: number;
  /** Runs as a verb does, on random tokens: it writes inputs, submits the commands once, and reads results. */
  run(): Promise<void>;
  destroy(): void;
}

const LEARNING_RATE = 1e-4;
/**
 * The most steps that may be skipped. In f16 the first steps overflow and update nothing until the loss scale, 2^16 at
 * first, has been halved often enough.
 */
const MOST_SKIPPED = 24;

/**
 * Returns an optimizer step as a subject: its micro-batches, clipping and AdamW.
 * @throws UserError as `Trainer.create`, or when the steps go on overflowing.
 */
async function stepSubject(model: Model, settings: TrainerSettings): Promise<Subject> {
  const trainer = await Trainer.create(model, settings);
  const { microBatches, B, T } = settings;
  const batch = randomIds(model, microBatches * B * (T + 1));
  const step = () => trainer.trainStep(batch, LEARNING_RATE);
  try {
    for (let skipped = 0; (await step()).skipped; skipped++) {
      if (skipped === MOST_SKIPPED) throw new UserError('gradients of this model overflow in f16; use precision f32');
    }
  } catch (error) {
    trainer.destroy();
    throw error;
  }
  return {
    commands: trainer.program,
    sources: sourcesOf(trainer.plans),
    tokens: trainer.tokensPerStep,
    run: async () => void (await step()),
    destroy: () => trainer.destroy(),
  };
}

/** Returns a forward pass over a batch, to the loss of every token. @throws UserError as `TokenLosses.create`. */
async function evaluationSubject(
  model: Model,
  { documentEnd, ...shape }: Extract<Profiled, { readonly what: 'eval' | 'decode' }>['settings'],
): Promise<Subject> {
  const losses = await TokenLosses.create(model, shape, { documentEnd });
  const { B, T } = shape;
  const batch = randomIds(model, B * (T + 1));
  return {
    commands: losses.program,
    sources: sourcesOf([losses.plan]),
    tokens: B * T,
    run: async () => void (await losses.of(batch)),
    destroy: () => losses.destroy(),
  };
}

/**
 * Returns the context of decoding: a prompt that leaves room for one more token.
 * @throws UserError where there is none.
 */
export function decodingShape({ B, T }: BatchShape) {
  if (T < 2) throw new UserError('decoding needs a contextLength of 2 tokens at least: a prompt, and one that follows');
  return { B, T: T - 1, capacity: T };
}

/**
 * Returns the decoding of one more token of each of B sequences. It is the last that a context of T has room for, and
 * so attends to the most.
 * @throws UserError as `CachedModel.create`.
 */
async function decodingSubject(model: Model, shape: BatchShape): Promise<Subject> {
  const { B, T, capacity } = decodingShape(shape);
  const cached = await CachedModel.create(model, { B, T, capacity });
  const { plan, logits } = cached.decodePass;
  try {
    await cached.prefill(Array.from({ length: B }, () => randomIds(model, T)));
    await cached.decode([...randomIds(model, B)]);
  } catch (error) {
    cached.destroy();
    throw error;
  }
  const { device } = model;
  return {
    commands: plan.commands,
    sources: sourcesOf([plan]),
    tokens: B,
    async run() {
      device.submit(plan.commands);
      await device.read(plan.rangeOf(logits).buffer, 0, bytesOf(logits));
    },
    destroy: () => cached.destroy(),
  };
}

const sourcesOf = (plans: readonly Plan[]): Map<Command, CommandSource> =>
  new Map(plans.flatMap(({ commands, sources }) => commands.map((command, i) => [command, sources[i]!] as const)));

function randomIds({ config }: Model, count: number): Uint32Array {
  const random = new Random(0, 'tokens');
  return Uint32Array.from({ length: count }, () => random.integer(config.vocabSize));
}
