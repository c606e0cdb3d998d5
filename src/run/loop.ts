/** The training loop. Its order is: evaluate, probe, save, stop or go on; draw, submit, report. */
import { join } from 'node:path';
import { checkpointFolder, listCheckpoints } from '../checkpoint/find.js';
import type { BestEvaluation } from '../checkpoint/training-record.js';
import { heldOutText, type ScoredText } from '../data/scored-text.js';
import { mixtureOfSources } from '../data/shares.js';
import { lossOfSums, textSums } from '../eval/text-loss.js';
import { TokenLosses } from '../eval/token-losses.js';
import { learningRateAt } from '../optim/schedule.js';
import { type HealthLine, HealthProbe } from '../train/health-probe.js';
import { Best } from './best.js';
import { saveCheckpoint } from './checkpoint.js';
import { CALMER, DivergedError, goodCheckpoints, type RunSummary, type TrainContext } from './context.js';
import { evaluationShape } from './evaluations.js';
import { HEALTH_FILE, type HealthOptions, healthWarnings } from './health.js';
import { type EvaluationLine, MetricsFile, NOWHERE } from './metrics.js';
import { compareWeights } from './parallel.js';
import { makeProbes } from './probes.js';
import { Reporter } from './reporter.js';
import { steppingOf } from './stepping.js';

/**
 * Trains from the trainer's step to the run's last one.
 * @throws DivergedError when loss or gradients stop being finite; it names the step and the tensor, and checkpoints
 * stay.
 */
export async function train(context: TrainContext): Promise<RunSummary> {
  const { folder, run, device, trainer, mixture, ranks, observer } = context;
  const metrics = ranks.isLead
    ? new MetricsFile(join(folder, 'metrics.jsonl'), fault => observer?.onWarning?.(fault))
    : NOWHERE;
  const stepping = steppingOf(context);
  const reporter = new Reporter(context, metrics);
  const evaluate = await makeEvaluation(context);
  const probe = ranks.isLead ? await makeProbes(run, trainer.model, context.data) : undefined;
  const watch = ranks.isLead && context.health ? await watchHealth(context, context.health) : undefined;
  const tokensAt = (step: number) => step * run.batchTokens;
  const flopsAt = (step: number) => tokensAt(step) * run.flopsPerToken;
  /** Whether something that happens `times` times, and before the first step, happens now. */
  const isDue = (step: number, times: number) =>
    step === 0 || Math.floor((step * times) / run.steps) > Math.floor(((step - 1) * times) / run.steps);
  /** Whether a step's checkpoint is one of those that stay for good: every so many-th of those that fall due. */
  const isKept = (step: number) =>
    run.keepEvery > 0 &&
    isDue(step, run.checkpoints) &&
    Math.floor((step * run.checkpoints) / run.steps) % run.keepEvery === 0;
  /** Whether the last step was not finite, on any rank. */
  const isUnsound = async () => {
    await reporter.flush();
    return stepping.isAnywhere(reporter.isUnsound);
  };
  const resumedAt = context.isResumed ? trainer.step : undefined;
  /** What fell due after a step that was not finite: the weights may be no good, and the next steps will tell. */
  const owed = { evaluation: false, probe: false, checkpoint: false };
  let losses: Pick<EvaluationLine, 'heldOut' | 'heldOutAverage'> = { heldOut: {} };
  let checkpoint = listCheckpoints(folder).at(-1)?.folder ?? '';
  const best = new Best(run, context.best);
  observer?.onStart?.(run, device);
  try {
    for (;;) {
      const { step } = trainer;
      const isLast = step === run.steps;
      const isResumed = step === resumedAt; // evaluated and saved before the run stopped
      const evaluates = (owed.evaluation || isDue(step, run.evaluations)) && (!isResumed || isLast);
      let isBest = false;
      owed.evaluation = evaluates && (await isUnsound()) && !isLast;
      if (evaluates && !owed.evaluation) {
        await stepping.settle(false);
        losses = { heldOut: await evaluate() };
        checkLosses(step, losses.heldOut, folder);
        if (trainer.average) losses = { ...losses, heldOutAverage: await trainer.average.inPlace(evaluate) };
        const line = { kind: 'evaluation', step, tokens: tokensAt(step), flops: flopsAt(step), ...losses } as const;
        if (!isResumed) {
          metrics.append([line]);
          isBest = best.take(step, line.heldOut);
        }
        observer?.onEvaluation?.(line);
        reporter.restartClock();
      }
      const probes = probe !== undefined && (owed.probe || isDue(step, run.probes!)) && !isResumed;
      if (probes) await reporter.flush();
      owed.probe = probes && reporter.isUnsound && !isLast; // of this rank alone: only the lead probes
      if (probes && !owed.probe) {
        const found = await probe();
        const line = { kind: 'probe', step, tokens: tokensAt(step), flops: flopsAt(step), probes: found } as const;
        metrics.append([line]);
        observer?.onProbe?.(line);
        reporter.restartClock();
      }
      const isStopped = best.isLongAgo && !isLast;
      const stopping = (await stepping.isStopping()) || isStopped;
      const saves = (owed.checkpoint || isDue(step, run.checkpoints) || isBest || stopping) && !isResumed;
      const afterUnsound = saves && (await isUnsound());
      owed.checkpoint = afterUnsound && !isLast && !stopping;
      const isSaved = saves && !owed.checkpoint;
      if (isSaved) await stepping.settle(true);
      if (isSaved && ranks.isLead) {
        checkpoint = await saveCheckpoint(
          folder,
          {
            latest: afterUnsound ? Infinity : run.keepCheckpoints,
            isKept: saved => isKept(saved) || saved === best.found?.step,
          },
          {
            model: trainer.model,
            trainer,
            outer: context.outer,
            tokenizerJson: context.data.tokenizerJson,
            companions: context.companions,
            state: {
              run: run.name,
              step,
              tokens: tokensAt(step),
              flops: flopsAt(step),
              parameters: run.parameters.total,
              mixture: mixture.state(),
              ...(step > 0 && { learningRate: learningRateAt(run.schedule, step, run.steps) }),
              updates: trainer.updates,
              sources: mixtureOfSources(run.sources),
              tokenizer: run.tokenizer,
              ...(best.found && { best: best.found }),
              ...(context.base && { base: context.base }),
            },
          },
        );
      }
      if (isSaved) {
        const { model } = trainer;
        // the base of adapters stays, so that once is enough; different ones would not show in the adapters
        await compareWeights(ranks, model, step === 0 ? model.specs : model.saved);
        reporter.restartClock();
      }
      if (isLast || stopping) {
        metrics.flush();
        const status = isLast ? 'done' : isStopped ? 'stopped' : 'interrupted';
        return {
          status,
          folder,
          step,
          steps: run.steps,
          tokens: tokensAt(step),
          flops: flopsAt(step),
          ...losses,
          checkpoint,
          ...(best.found && { best: bestOf(folder, best.found) }),
        };
      }
      const batch = mixture.nextBatch(run.batchTokens / run.contextLength);
      const learningRate = learningRateAt(run.schedule, step + 1, run.steps);
      await reporter.submitted(await stepping.submit(batch, learningRate), learningRate);
      if (watch && (trainer.step % watch.every === 0 || trainer.step === run.steps)) {
        await reporter.flush(); // stops at a step that was not finite
        await watch.look(learningRate);
        reporter.restartClock();
      }
    }
  } finally {
    evaluate.destroy();
    probe?.destroy();
    watch?.destroy();
  }
}

function bestOf(folder: string, { language, step, loss }: BestEvaluation): NonNullable<RunSummary['best']> {
  return { language, step, loss, checkpoint: checkpointFolder(folder, step) };
}

/** Checks an evaluation. @throws DivergedError when a loss is not finite: the weights are no good. */
function checkLosses(step: number, heldOut: EvaluationLine['heldOut'], folder: string): void {
  for (const [language, { loss }] of Object.entries(heldOut)) {
    if (Number.isFinite(loss)) continue;
    throw new DivergedError(
      `step ${step}: the held-out loss of '${language}' is ${loss}; ${goodCheckpoints(folder)}. ${CALMER}`,
    );
  }
}

/** Looks at a run's tensors, writes what it sees to health.jsonl, and warns. */
async function watchHealth({ folder, trainer, observer }: TrainContext, { every, limits }: HealthOptions) {
  const probe = await HealthProbe.create(trainer);
  const file = new MetricsFile<HealthLine>(join(folder, HEALTH_FILE), fault => observer?.onWarning?.(fault));
  const look = async (learningRate: number): Promise<void> => {
    const line = await probe.measure(learningRate);
    file.append([line]);
    for (const warning of healthWarnings(line, limits)) observer?.onWarning?.(warning);
  };
  return { every, look, destroy: () => probe.destroy() };
}

/** Makes a function that returns the mean held-out loss of every language, over the same tokens each time. */
async function makeEvaluation({ run, data, trainer, ranks }: TrainContext) {
  const { documentEnd } = run;
  const evaluator = await TokenLosses.create(trainer.model, evaluationShape(run), { documentEnd });
  const texts: (ScoredText & { readonly language: string })[] = [];
  for (const [language, dataset] of data.heldOut) {
    const count = run.evalTokens === null ? undefined : run.evalTokens + 1;
    texts.push({ language, ...(await heldOutText(dataset, count)) });
  }
  const evaluate = async (): Promise<EvaluationLine['heldOut']> => {
    const heldOut: Record<string, EvaluationLine['heldOut'][string]> = {};
    for (const text of texts) {
      const own = await textSums(evaluator, text, ranks);
      const { loss, bitsPerByte, tokens, bytes } = lossOfSums(text, await ranks.gather(own));
      heldOut[text.language] = { loss, tokens, bitsPerByte, bytes };
    }
    return heldOut;
  };
  return Object.assign(evaluate, { destroy: () => evaluator.destroy() });
}
