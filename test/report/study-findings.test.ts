import { describe, expect, test } from 'vitest';
import {
  estimate,
  forgettingEvidence,
  languageEvidence,
  replayEvidence,
  savingsEvidence,
  transferEvidence,
} from '../../src/report/study-evidence.js';
import { studyFindings } from '../../src/report/study-findings.js';
import { summaryHtml, summaryLines } from '../../src/report/study-summary.js';
import type { StudyCurve, StudyView } from '../../src/report/study-view.js';

const SIZES = [1e5, 2e5, 4e5, 8e5];
const ENDS = [5, 10, 20];

interface Given {
  readonly strategy?: string;
  readonly language?: string;
  readonly size?: number;
  readonly seed?: number;
  readonly replay?: number;
  readonly account?: string;
  readonly before?: number;
}

/** A curve over [tokens, loss, source loss]. */
function curve(points: readonly (readonly number[])[], given: Given = {}): StudyCurve {
  const { strategy = 'scratch', language = 'fr', size = SIZES[0]!, seed = 0, replay = 0, account, before } = given;
  return {
    run: `${size}-${strategy}-${language}-${replay}-${account}-${seed}`,
    strategy,
    language,
    size: String(size),
    parameters: size,
    seed,
    replay,
    isDone: true,
    ...(account !== undefined && { account }),
    ...(before !== undefined && { sourceLossBefore: before }),
    points: points.map(([tokens, loss, sourceLoss]) => ({
      tokens: tokens!,
      flops: 6 * size * tokens!,
      loss: loss!,
      ...(sourceLoss !== undefined && { sourceLoss }),
    })),
  };
}

const viewOf = (curves: readonly StudyCurve[], targets = ['fr']): StudyView => ({
  name: 'made',
  source: 'en',
  targets,
  curves,
  fromEarlier: [],
  fits: [],
  areEnds: true,
  rows: [],
});

/** Pairs in which scratch needs D + 3·D^p·N^q tokens for the loss that CPT has after D. */
function transferring(p: number, q: number, language = 'fr'): StudyCurve[] {
  return SIZES.flatMap(size => {
    const cpt = ENDS.map((end, i) => [end * size, 4 - 0.5 * i]);
    const scratch = cpt.map(([D, loss]) => [D! + 3 * D! ** p * size ** q, loss!]);
    return [
      curve([[1, 9], ...scratch], { language, size }),
      curve(cpt, { strategy: 'cpt', language, size, before: 3 }),
    ];
  });
}

describe('numbers with intervals', () => {
  test('are those of all runs, with the middle of what resamples give; two runs have none', () => {
    const found = estimate([1, 2, 3, 4, 5, 6], units => units.reduce((a, b) => a + b, 0) / units.length)!;
    expect(found.value).toBe(3.5);
    // the mean of six draws of a spread of 1.71 strays by 0.70: twice that to either side
    expect(found.interval![0]).toBeGreaterThan(1.7);
    expect(found.interval![0]).toBeLessThan(2.8);
    expect(found.interval![1]).toBeGreaterThan(4.2);
    expect(found.interval![1]).toBeLessThan(5.3);
    expect(estimate([1, 2], units => units[0])).toEqual({ value: 1, count: 2 });
    expect(estimate([], () => undefined)).toBeUndefined();
  });

  test('the exponents of transfer come back, and runs that transfer nothing are counted apart', () => {
    const found = transferEvidence(viewOf(transferring(0.6, 0.3)), 'fr')!;
    expect(found.byTokens.value).toBeCloseTo(0.6, 10);
    expect(found.byParameters.value).toBeCloseTo(0.3, 10);
    expect(found).toMatchObject({ positive: 12, points: 12 });
    const worse = curve([[2e6, 3.9]], { strategy: 'cpt', size: 16e5 });
    const late = [
      curve(
        [
          [1, 9],
          [1e6, 3.9],
        ],
        { size: 16e5 },
      ),
      worse,
    ];
    expect(transferEvidence(viewOf([...transferring(0.6, 0.3), ...late]), 'fr')).toMatchObject({
      positive: 12,
      points: 13,
    });
  });

  test('savings are those at the first common loss and at the lowest of scratch', () => {
    const scratch = [
      [1e6, 5],
      [2e6, 4],
      [4e6, 3],
    ];
    const cpt = [
      [1e6, 4],
      [4e6, 3],
    ];
    const slow = [
      [1e6, 4],
      [4e6, 3.5],
    ];
    const pairs = [cpt, cpt, slow].flatMap((points, seed) => [
      curve(scratch, { seed }),
      curve(points, { strategy: 'cpt', seed }),
    ]);
    const found = savingsEvidence(viewOf(pairs), 'fr')!;
    expect(found).toMatchObject({ pairs: 3, reached: 2 });
    expect(found.first!.value).toBeCloseTo(0.5, 10);
    expect(found.last.value).toBeCloseTo(0, 10);
  });

  test('replay is held against the run without it after as many target tokens', () => {
    const without = curve(
      [
        [1e6, 4, 5],
        [2e6, 3, 6],
      ],
      { strategy: 'cpt', before: 3 },
    );
    const extra = curve([[4e6, 3.3, 3.3]], { strategy: 'cpt', replay: 0.5, account: 'extra', before: 3 });
    const budget = curve([[2e6, 4, 2.7]], { strategy: 'cpt', replay: 0.5, account: 'budget', before: 3 });
    const found = replayEvidence(viewOf([without, extra, budget]), 'fr');
    const of = (account: string) => found.find(each => each.account === account)!;
    expect(of('extra').price.value).toBeCloseTo(0.1, 10);
    expect(of('extra').kept.value).toBeCloseTo(0.9, 10);
    expect(of('budget').price.value).toBeCloseTo(0, 10);
    expect(of('budget').rise.value).toBeCloseTo(-0.3, 10);
  });

  test('replay in stages is told from a constant share of the same mean', () => {
    const without = curve([[1e6, 3, 5]], { strategy: 'cpt', before: 3 });
    const shared = { ...curve([[1.25e6, 3, 4]], { strategy: 'cpt', replay: 0.2, account: 'extra', before: 3 }) };
    const staged = { ...shared, run: 'staged', stages: '40% to 0.5, 0% to 1' };
    const found = replayEvidence(viewOf([without, shared, staged]), 'fr');
    expect(found.map(({ stages }) => stages)).toEqual([undefined, '40% to 0.5, 0% to 1']);
    expect(found.every(({ kept }) => kept.count === 1)).toBe(true);
  });

  test('forgetting has a slope by size, and languages are compared where both have a pair', () => {
    const rises = SIZES.map((size, i) => curve([[1e6, 3, 4 - 0.1 * i]], { strategy: 'cpt', size, before: 3 }));
    const { rise, bySize } = forgettingEvidence(viewOf(rises), 'fr')!;
    expect(rise.value).toBeCloseTo(0.85, 10);
    expect(bySize!.value).toBeCloseTo(-0.1 / Math.log10(2), 10);
    const pairs = (language: string, gain: number) =>
      SIZES.flatMap(size => [
        curve([[1e6, 3]], { language, size }),
        curve([[1e6, 3 - gain]], { strategy: 'cpt', language, size }),
      ]);
    const [found] = languageEvidence(viewOf([...pairs('fr', 0.3), ...pairs('ru', 0.1)], ['fr', 'ru']));
    expect(found!.difference.value).toBeCloseTo(0.2, 10);
  });
});

describe('verdicts', () => {
  const verdicts = (view: StudyView) => studyFindings(view).map(({ verdict }) => verdict);

  test('follow from the intervals: all parts, some, none, or nothing known', () => {
    expect(verdicts(viewOf(transferring(0.6, 0.3)))[1]).toBe('reproduced');
    expect(verdicts(viewOf(transferring(0.6, -0.4)))[1]).toBe('in part');
    expect(verdicts(viewOf(transferring(-0.3, -0.4)))[1]).toBe('not reproduced');
    expect(verdicts(viewOf([]))).toEqual(Array(7).fill('open'));
  });

  test('of languages go by the order of the targets', () => {
    const pairs = [...transferring(0.6, 0.3, 'fr'), ...transferring(0.6, 0.3, 'ru')].map(each => {
      const gain = each.language === 'fr' ? 0.3 : 0.1;
      const points = each.points.map(point => ({
        ...point,
        tokens: 1e6,
        loss: each.strategy === 'cpt' ? 3 - gain : 3,
      }));
      return { ...each, points: points.slice(-1) };
    });
    expect(verdicts(viewOf(pairs, ['fr', 'ru']))[2]).toBe('reproduced');
    expect(verdicts(viewOf(pairs, ['ru', 'fr']))[2]).toBe('not reproduced');
  });

  test('of replay need a share that costs nothing, keeps most, and ends below the start', () => {
    const without = curve([[1e6, 3, 4]], { strategy: 'cpt', before: 3 });
    const shared = (loss: number, source: number) =>
      curve([[1.25e6, loss, source]], { strategy: 'cpt', replay: 0.2, account: 'extra', before: 3 });
    expect(verdicts(viewOf([without, shared(3.001, 2.9)]))[4]).toBe('reproduced');
    expect(verdicts(viewOf([without, shared(3.1, 2.9)]))[4]).toBe('in part');
    expect(verdicts(viewOf([without, shared(3.1, 3.9)]))[4]).toBe('not reproduced');
  });
});

test('the page and the terminal say the same, and names are text', () => {
  const view = viewOf(transferring(0.6, 0.3, 'f<r'), ['f<r']);
  const html = summaryHtml(view, [
    { name: 'transferred-f_r', svg: '<svg role="img" aria-label="axes"><title>dot</title></svg>', caption: 'a "b"' },
  ]);
  expect(html).toContain('0.60 (0.60 to 0.60) in D');
  expect(html).toContain('f&#60;r');
  expect(html).toContain('<svg role="img" aria-label="a &#34;b&#34;"></svg>');
  expect(summaryLines(view, studyFindings(view))[1]).toMatch(
    /^2\. The data .*: reproduced\. f<r: .*0\.60 \(0\.60 to 0\.60\) in D/,
  );
});
