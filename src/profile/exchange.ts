/** What several ranks gain: a step of one rank alone, and a step that all share, timed in turns. */
import { sizeOf } from '../autograd/tensor.js';
import { median } from '../median.js';
import type { Model } from '../model/model.js';
import type { WireType } from '../parallel/all-reduce.js';
import type { Ranks } from '../parallel/ranks.js';
import { Random } from '../random.js';
import { type Exchange, SharedStep } from '../train/shared-step.js';
import { Trainer } from '../train/step.js';
import type { TrainerSettings } from '../train/traced-step.js';

export interface ExchangeProfile {
  readonly ranks: number;
  /** Those that are trained. */
  readonly parameters: number;
  /** The medians of a step on a rank's share of the batch, without and with the exchange, of the slowest rank. */
  readonly aloneMs: number;
  readonly sharedMs: number;
  /** The medians of what the exchange took; see `Exchange`. */
  readonly exchange: Exchange;
  /** Tokens/s of all ranks together, and over those of as many ranks that need no exchange. */
  readonly tokensPerSecond: number;
  readonly efficiency: number;
}

/** Times `steps` steps of each kind, after one that warms up, on random tokens. Every rank calls it. */
export async function profileExchange(
  model: Model,
  ranks: Ranks,
  settings: TrainerSettings,
  { steps, wire, onProgress }: { steps: number; wire: WireType; onProgress?: (done: number) => void },
): Promise<ExchangeProfile> {
  const trainer = await Trainer.create(model, { ...settings, sharers: ranks.size });
  try {
    const shared = new SharedStep(trainer, ranks, { wire });
    const { B, T, microBatches } = settings;
    const random = new Random(ranks.rank, 'tokens');
    const tokens = Uint32Array.from({ length: microBatches * B * (T + 1) }, () =>
      random.integer(model.config.vocabSize),
    );
    const timed = async (step: () => Promise<unknown>) => {
      await ranks.gather('ready');
      const started = performance.now();
      await step();
      await trainer.reports();
      return performance.now() - started;
    };
    const times: { alone: number; shared: number }[] = [];
    const exchanges: Exchange[] = [];
    for (let i = 0; i <= steps; i++) {
      const alone = await timed(async () => trainer.submit(tokens, 0));
      const inStep = await timed(async () => exchanges.push(await shared.submit(tokens, 0)));
      if (i > 0) times.push({ alone, shared: inStep }); // the first compiles
      onProgress?.(i);
    }
    const medianBy = (field: keyof Exchange) => median(exchanges.slice(1).map(exchange => exchange[field]));
    const own = {
      aloneMs: median(times.map(({ alone }) => alone)),
      sharedMs: median(times.map(({ shared: ms }) => ms)),
      exchange: { sentBytes: medianBy('sentBytes'), ms: medianBy('ms'), exposedMs: medianBy('exposedMs') },
    };
    const all = await ranks.gather(own);
    const aloneMs = Math.max(...all.map(each => each.aloneMs));
    const sharedMs = Math.max(...all.map(each => each.sharedMs));
    return {
      ...own,
      ranks: ranks.size,
      parameters: trainer.trained.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
      aloneMs,
      sharedMs,
      tokensPerSecond: (1000 * ranks.size * microBatches * B * T) / sharedMs,
      efficiency: aloneMs / sharedMs,
    };
  } finally {
    trainer.destroy();
  }
}
