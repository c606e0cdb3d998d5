/** Seeded random numbers, the same on every machine: xoshiro128** (Blackman & Vigna, 2018), seeded by splitmix32. */

export class Random {
  readonly #state = new Uint32Array(4);
  #spare: number | undefined;

  /** Labels give independent streams of one seed: `new Random(7, 'init', 'model.norm.weight')`. */
  constructor(seed: number, ...labels: readonly (string | number)[]) {
    let state = hash(`${seed}/${labels.join('/')}`);
    for (let i = 0; i < 4; i++) {
      state = (state + 0x9e3779b9) >>> 0;
      this.#state[i] = mix(state);
    }
  }

  /** Returns a number drawn evenly from 0 … 2^32 - 1. */
  uint32(): number {
    const s = this.#state;
    const result = Math.imul(rotate(Math.imul(s[1]!, 5), 7), 9) >>> 0;
    const t = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= t;
    s[3] = rotate(s[3]!, 11);
    return result;
  }

  /** Returns a number drawn evenly from [0, 1), with 53 bits. */
  uniform(): number {
    return ((this.uint32() >>> 5) * 2 ** 26 + (this.uint32() >>> 6)) / 2 ** 53;
  }

  /** Returns a number drawn evenly from 0 … n - 1. */
  integer(n: number): number {
    return Math.floor(this.uniform() * n);
  }

  /** Returns a standard normal number (Box-Muller in float64). */
  normal(): number {
    if (this.#spare !== undefined) {
      const value = this.#spare;
      this.#spare = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.#spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** Returns 0 … n - 1 in random order (Fisher-Yates). */
  permutation(n: number): Uint32Array {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
  }
}

const rotate = (x: number, k: number): number => (x << k) | (x >>> (32 - k));

function mix(x: number): number {
  let z = x;
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
  return (z ^ (z >>> 16)) >>> 0;
}

/** Returns the FNV-1a hash over UTF-16 units. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return mix(h >>> 0);
}
