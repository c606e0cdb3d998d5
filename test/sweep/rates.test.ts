/** Which rates a sweep tries, and where it says that the best one is. */
import { describe, expect, test } from 'vitest';
import { findMinimum, lossOf, parabolaThrough } from '../../src/sweep/minimum.js';
import { FIRST_PLACES, nextPlaces, rateAt } from '../../src/sweep/rates.js';

const grid = { rate: 1e-3, factor: Math.sqrt(10) };
/** The places of a sweep over losses as a function of the place, as it would go without an end to the rates. */
function placesOver(lossAt: (place: number) => number | undefined, most = 20): number[] {
  const tried: { place: number; rate: number; loss: number | undefined }[] = [];
  for (let next = FIRST_PLACES; next.length > 0 && tried.length < most; next = nextPlaces(tried)) {
    for (const place of next) tried.push({ place, rate: rateAt(place, grid), loss: lossAt(place) });
  }
  return tried.map(({ place }) => place);
}

describe('places', () => {
  test('a best in the middle is closed in on from both sides', () => {
    expect(placesOver(place => place ** 2)).toEqual([0, -2, 2, -1, 1]);
  });

  test('a best at an end is followed outwards first', () => {
    expect(placesOver(place => (place - 5) ** 2)).toEqual([0, -2, 2, 4, 6, 3, 5]);
    expect(placesOver(place => (place + 4) ** 2)).toEqual([0, -2, 2, -4, -6, -5, -3]);
  });

  test('a rate without a loss bounds the best from above, and all of them lead downwards', () => {
    const diverging = (limit: number) => (place: number) => (place > limit ? undefined : -place);
    expect(placesOver(diverging(0))).toEqual([0, -2, 2, -1, 1]);
    expect(placesOver(diverging(1))).toEqual([0, -2, 2, -1, 1]); // 1 is the best, and 2 is its neighbour
    expect(placesOver(diverging(-5))).toEqual([0, -2, 2, -4, -6, -8, -7, -5]);
    expect(placesOver(() => undefined, 6)).toEqual([0, -2, 2, -4, -6, -8]);
  });

  test('rates have three digits, but for the own one of the run', () => {
    expect([-4, -2, -1, 1, 2, 4].map(place => rateAt(place, grid))).toEqual([
      1e-4, 3.16e-4, 5.62e-4, 1.78e-3, 3.16e-3, 1e-2,
    ]);
    expect(rateAt(0, { rate: 0.00123456, factor: 2 })).toBe(0.00123456);
    expect(rateAt(2, { rate: 0.00123456, factor: 2 })).toBe(0.00247);
  });
});

describe('the minimum', () => {
  const parabola = { rate: 2.2e-3, lowest: 3.5, curvature: 0.25 };
  const points = [1e-4, 1e-3, 3e-3, 7e-3, 1e-1].map(rate => ({ rate, loss: lossOf(parabola, rate) }));
  const single = points.map(point => ({ ...point, losses: [point.loss] }));

  test('a parabola is found again from three points, however they lie', () => {
    const found = parabolaThrough(points.slice(1, 4))!;
    expect(found.rate).toBeCloseTo(parabola.rate, 12);
    expect(found.lowest).toBeCloseTo(parabola.lowest, 12);
    expect(found.curvature).toBeCloseTo(parabola.curvature, 12);
    const line = [1, Math.E, Math.E ** 2].map((rate, i) => ({ rate, loss: 3 - i }));
    expect(parabolaThrough(line)).toBeUndefined();
    expect(parabolaThrough(line.map(({ rate }, i) => ({ rate, loss: -(i ** 2) })))).toBeUndefined();
  });

  test('it is that of the best rate and its neighbours; one seed leaves the noise unknown', () => {
    const found = findMinimum([...single].reverse())!;
    expect(found).toMatchObject({ rate: 2.2e-3, fit: { rates: [1e-3, 3e-3, 7e-3] } });
    expect(found).not.toHaveProperty('range');
  });

  test('seeds give the range: where the parabola is two standard errors above its lowest point', () => {
    // two seeds, each 0.01 off: a standard deviation of 0.01·√2, a standard error of 0.01, a range of ±√(0.02 / 0.25)
    const twice = points.map(point => ({ ...point, losses: [point.loss - 0.01, point.loss + 0.01] }));
    const { noise, range } = findMinimum(twice)!;
    expect(noise).toBeCloseTo(0.01, 12);
    expect(Math.log(range!.low / parabola.rate)).toBeCloseTo(-Math.sqrt(0.08), 10);
    expect(Math.log(range!.high / parabola.rate)).toBeCloseTo(Math.sqrt(0.08), 10);
    expect(range!.isOpen).toBe(false);
    const noisy = points.map(point => ({ ...point, losses: [point.loss - 1, point.loss + 1] }));
    expect(findMinimum(noisy)!.range).toEqual({ low: 1e-3, high: 7e-3, isOpen: true });
  });

  test('without a neighbour that has a loss the best measured rate is all that there is', () => {
    const lost = { rate: 5e-3, loss: undefined, losses: [] };
    expect(findMinimum(single.slice(0, 2))).toEqual({ rate: 1e-3, loss: points[1]!.loss });
    expect(findMinimum([...single.slice(0, 3), lost])).toEqual({ rate: 3e-3, loss: points[2]!.loss });
    expect(findMinimum([lost])).toBeUndefined();
  });
});
