/** What the time of a dry run is based on where the run itself cannot be timed. */
import { expect, test, vi } from 'vitest';
import { measureRun } from '../../src/cli/speed.js';
import { chooseAdapter, type DryRun, parseConfig } from '../../src/index.js';
import * as speed from '../../src/run/speed.js';

vi.mock(import('../../src/run/speed.js'), async original => {
  const actual = await original();
  return { ...actual, timeProbe: vi.fn(actual.timeProbe) };
});

/** A run of 1000 steps whose micro-batches would take a hundred TFLOPs: hours of a software adapter. */
const sizes = { tokens: 1000 * 1000, microBatch: 1, contextLength: 1000, flopsPerToken: 1e11, evaluations: 1 };
const config = parseConfig({ out: 'x', sources: [{ name: 'en', path: 'en' }] });
const adapter = (await chooseAdapter()).choice.chosen;
const planned = (more: object = {}, refusals: string[] = []) =>
  ({ run: { ...sizes, checkpointing: 'none', ...more }, memory: { refusals }, adapter }) as unknown as DryRun;

test('a run that is too large to be tried takes the speed of a small model, and says so', async () => {
  const time = await measureRun(planned(), config);
  if ('missing' in time) expect.fail(time.missing);
  expect(time.basis).toMatch(/by the FLOP\/s of the preset 'small', timed on .*takes too long to be tried$/);
  expect(time.seconds * time.flopsPerSecond).toBeCloseTo(1e17, -3);
  expect(time.tokensPerSecond * 1e11).toBeCloseTo(time.flopsPerSecond, 0);
});

test.each([
  ['layer', 'a third', 3 / 4],
  [2, '17%', 6 / 7],
] as const)('checkpointing %s takes %s more', async (checkpointing, more, share) => {
  vi.mocked(speed.timeProbe).mockResolvedValueOnce(1e9);
  const time = await measureRun(planned({ checkpointing }), config);
  if ('missing' in time) expect.fail(time.missing);
  expect(time.basis).toMatch(new RegExp(`too long to be tried, and ${more} more for checkpointing$`));
  expect(time.flopsPerSecond / 1e9).toBeCloseTo(share, 12);
});

test('where the adapter would refuse the run, or cannot be timed, the time is not known', async () => {
  expect(await measureRun(planned({}, ['a buffer']), config)).toEqual({ missing: 'this adapter would refuse the run' });
  const gone = { ...planned(), adapter: { ...adapter, number: 99, name: 'an adapter that was taken out' } };
  expect(await measureRun(gone, config)).toEqual({
    missing: expect.stringMatching(/^this adapter could not be timed: no adapter matches/) as string,
  });
});
