/** What Zheng et al. (2024) found, and of LoRA others, held against a study: a verdict, and the numbers behind it. */
import { signed } from './numbers.js';
import {
  forgettingEvidence,
  languageEvidence,
  type ReplayEvidence,
  replayEvidence,
  savingsEvidence,
  transferEvidence,
} from './study-evidence.js';
import { allocation, lawsCarry } from './study-law-findings.js';
import { loraFinding } from './study-lora.js';
import { type Answer, conclude, type Finding, fixed, isAbove, share, show } from './study-verdicts.js';
import { type StudyView, shareOf } from './study-view.js';

/** Returns the findings in the order of the paper, after them what its laws say, and what LoRA does. */
export function studyFindings(view: StudyView): Finding[] {
  return [
    savings(view),
    transfer(view),
    languages(view),
    forgetting(view),
    replay(view),
    lawsCarry(view),
    allocation(view),
    ...loraFinding(view),
  ];
}

const change = (nats: number): string => signed(nats, 2);

function savings(view: StudyView): Finding {
  const answers = view.targets.flatMap((language): Answer[] => {
    const found = savingsEvidence(view, language);
    if (!found) return [];
    const { first, last, fall, pairs, reached } = found;
    const never = reached < pairs ? ` (in ${pairs - reached} of ${pairs} pairs CPT never came so low)` : '';
    const start = first ? `${show(first, share)} of the FLOPs saved at first, ` : '';
    const end = reached > 0 ? show(last, share) : 'nothing';
    return [
      {
        says: `${language}: ${start}${end} at the lowest loss of scratch${never}.`,
        holds: reached === 0 ? ['no'] : [isAbove(last), isAbove(fall)],
      },
    ];
  });
  return conclude(
    {
      section: 'transfer',
      figure: 'flops-saved',
      claim: 'CPT saves compute at equal loss, and less as training goes on',
    },
    answers,
    'Waits for a pair of runs, from scratch and by CPT, that is done.',
  );
}

function transfer(view: StudyView): Finding {
  const answers = view.targets.flatMap((language): Answer[] => {
    const found = transferEvidence(view, language);
    if (!found) return [];
    const { byTokens, byParameters, positive, points } = found;
    const none = positive < points ? `, at the ${positive} of ${points} ends where anything was` : '';
    return [
      {
        says:
          `${language}: tokens transferred grow with exponents of ${show(byTokens, fixed(2))} in D and ` +
          `${show(byParameters, fixed(2))} in N${none}.`,
        holds: [isAbove(byTokens), isAbove(byParameters)],
      },
    ];
  });
  return conclude(
    {
      section: 'transfer',
      figure: 'transferred',
      claim: 'The data that is effectively transferred grows with tokens and with model size',
    },
    answers,
    'Waits for pairs of two sizes, each with several losses that both reach and CPT reaches earlier.',
  );
}

function languages(view: StudyView): Finding {
  const answers = languageEvidence(view).map(
    ({ near, far, nearGain, farGain, difference }): Answer => ({
      says:
        `Against scratch after the same tokens CPT ends ${show(nearGain, fixed(3))} nats lower in ${near}, ` +
        `${show(farGain, fixed(3))} in ${far}: ${show(difference, fixed(3))} more.`,
      holds: [isAbove(difference)],
    }),
  );
  const order = view.targets.length > 1 ? ` (${view.targets.join(', then ')})` : '';
  const missing = view.targets.length > 1 ? 'Waits for pairs of runs in two languages.' : 'The study has one target.';
  return conclude(
    {
      section: 'languages',
      figure: 'gain-by-language',
      claim: `The closer the language, the more transfer${order}`,
    },
    answers,
    missing,
  );
}

function forgetting(view: StudyView): Finding {
  const answers = view.targets.flatMap((language): Answer[] => {
    const found = forgettingEvidence(view, language);
    if (!found) return [];
    const { rise, bySize } = found;
    const source = view.source ?? 'source';
    const slope = bySize ? `, ${show(bySize, change)} for ten times the size` : '';
    return [
      {
        says: `CPT into ${language} raises the ${source} loss by ${show(rise, fixed(2))} nats${slope}.`,
        holds: [isAbove(rise), ...(bySize ? [isAbove(bySize, -1)] : [])],
      },
    ];
  });
  return conclude(
    {
      section: 'forgetting',
      figure: 'forgetting-by-size',
      claim: 'Without replay the source language is forgotten, by small models more',
    },
    answers,
    'Waits for a CPT run without replay that is done and was evaluated in the source language.',
  );
}

/** A price of the target loss below this share of it is none: seeds differ by as much. */
const NO_PRICE = 0.005;
/** The shares of replay that the paper finds enough, and how much of the rise they must keep away to be that. */
const ENOUGH = { from: 0.05, to: 0.3, kept: 0.75 };

function replay(view: StudyView): Finding {
  const answers = view.targets.flatMap((language): Answer[] => {
    const found = replayEvidence(view, language);
    if (found.length === 0) return [];
    const dearest = most(found, ({ price }) => price.value);
    const lowest = most(found, ({ rise }) => -rise.value);
    const enough = found.filter(({ replay }) => replay >= ENOUGH.from && replay <= ENOUGH.to);
    const best = enough.length > 0 ? most(enough, ({ kept }) => kept.value) : undefined;
    const [source, shown] = [view.source ?? 'source', (each: ReplayEvidence) => `${shareOf(each)} replay`];
    const price = show(dearest.price, value => `${fixed(1)(100 * value)}%`);
    const keeps = best ? `${shown(best)} keeps ${show(best.kept, share)} of what is forgotten without. ` : '';
    return [
      {
        says:
          `${keeps}For as many ${language} tokens the ${language} loss ends at most ` +
          `${price} higher (${shown(dearest)}); the ${source} loss ends ${show(lowest.rise, change)} of its start ` +
          `at the least (${shown(lowest)}).`,
        holds: [
          dearest.price.value <= NO_PRICE ? 'yes' : 'no',
          lowest.rise.value < 0 ? 'yes' : 'no',
          ...(best ? [best.kept.value >= ENOUGH.kept ? ('yes' as const) : ('no' as const)] : []),
        ],
      },
    ];
  });
  return conclude(
    {
      section: 'replay',
      figure: 'forgetting-by-share',
      claim: 'Replay costs the target nothing per token of its own, and 5 to 30% of it is enough',
    },
    answers,
    view.rows.length > 0 && !view.rows.some(({ replay }) => replay > 0)
      ? 'The study asks for no replay.'
      : 'Waits for a CPT run with replay that is done.',
  );
}

function most<Item>(items: readonly Item[], of: (item: Item) => number): Item {
  return items.reduce((best, item) => (of(item) > of(best) ? item : best));
}
