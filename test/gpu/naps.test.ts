import { expect, test } from 'vitest';
import { withNaps } from '../../src/gpu/naps.js';

/** Turns of the event loop, which stand for Dawn's polls, until `promise` is there. */
async function turnsUntil(promise: Promise<unknown>): Promise<number> {
  let turns = 0;
  let isOver = false;
  const turn = () => {
    turns++;
    if (!isOver) setImmediate(turn);
  };
  turn();
  await promise;
  isOver = true;
  return turns;
}

const later = (ms: number) => new Promise<string>(resolve => setTimeout(() => resolve('there'), ms));

test('the event loop turns about once a millisecond while something is waited for', async () => {
  const waited = withNaps(later(300));
  // a turn takes a nap of a millisecond at least, however busy the machine; the first two milliseconds are without
  await later(20);
  const turns = await turnsUntil(waited);
  expect(turns).toBeGreaterThan(1);
  expect(turns).toBeLessThan(300);
  expect(await waited).toBe('there');
});

test('what is waited for together is waited for once, and a failure is passed on', async () => {
  const failing = later(10).then(() => {
    throw new Error('lost');
  });
  const [one, two] = await Promise.allSettled([withNaps(later(50)), withNaps(failing)]);
  expect(one).toEqual({ status: 'fulfilled', value: 'there' });
  expect(two).toMatchObject({ status: 'rejected', reason: { message: 'lost' } });
});
