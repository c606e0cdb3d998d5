/** Soft caps in float64, and the error bounds of kernels/lib/soft_cap.wgsl. */
import { gamma, TINY } from './bounds.js';

export const softCap = (x: number, cap: number): number => cap * Math.tanh(x / cap);

/** The derivative, by what is capped already. */
export const softCapSlope = (capped: number, cap: number): number => 1 - (capped / cap) ** 2;

/**
 * The error of a capped value of an x that is off by `error`: the slope, which changes by 0.77 / cap at most from one x
 * to the next, times that, and the 30 u of the kernel. An x whose quotient is subnormal may be flushed.
 */
export function softCapError(capped: number, cap: number, error: number): number {
  const moved = error * Math.min(1, softCapSlope(capped, cap) + error / cap);
  return moved + gamma(30) * (Math.abs(capped) + moved) + 4 * TINY * (1 + cap);
}

/** The error of the slope, made of a capped value that is off by `error`, and of a product with it. */
export const softCapSlopeError = (capped: number, cap: number, error: number): number =>
  ((2 * Math.abs(capped) + error) * error) / cap ** 2 + gamma(7);
