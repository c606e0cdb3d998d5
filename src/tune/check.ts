/** Whether a variant computes what it should, on a small case with edges, against float64. */

import type { Device } from '../gpu/device.js';
import { floatsOfHalves, halvesOf, wordsOfHalves } from '../half.js';
import { BYTES } from '../kernels/call.js';
import type { KernelRequest } from '../kernels/table.js';
import { attention, attentionBackward } from '../numerics/attention.js';
import { attentionBounds } from '../numerics/attention-bounds.js';
import { matmulBound, storedBound } from '../numerics/bounds.js';
import { compare } from '../numerics/compare.js';
import { matmul, type Vector } from '../numerics/reference.js';
import { sideBySide } from '../numerics/side-by-side.js';
import { Random } from '../random.js';
import { canonical, type Variant } from './candidates.js';
import { freeTensors, makeTensors, planVariant, tensorsOf } from './subject.js';

/** A case with its inputs, in the order of the tensors, and what must come out. */
export interface Check {
  readonly request: KernelRequest;
  readonly inputs: readonly Vector[];
  /** By the index of the tensor. Where a kernel writes part of a tensor, the rest must be left as it was. */
  readonly outputs: readonly { readonly index: number; readonly expected: Vector; readonly bound: Vector }[];
}

/** Checks variants; a case is worked out once, and a variant is checked once on each. */
export class Checker {
  readonly #device: Device;
  readonly #checks = new Map<string, Check>();
  readonly #faults = new Map<string, Promise<string | undefined>>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** @returns why the variant is wrong, or undefined. @throws Error when it does not compile. */
  findFault(request: KernelRequest, variant: Variant): Promise<string | undefined> {
    const small = smallRequest(request);
    // attention rescales its sum once for so many rows, and its bound goes by that
    const rescale = 'kernel' in variant ? 0 : variant.rows;
    const caseKey = canonical([small.request, rescale]);
    const check = this.#checks.get(caseKey) ?? makeCheck(small, rescale);
    this.#checks.set(caseKey, check);
    const key = canonical([small.request, variant]);
    const fault = this.#faults.get(key) ?? findFault(this.#device, check, variant);
    this.#faults.set(key, fault);
    return fault;
  }
}

async function findFault(device: Device, check: Check, variant: Variant): Promise<string | undefined> {
  const specs = tensorsOf(check.request);
  const tensors = makeTensors(device, specs);
  try {
    tensors.forEach(({ buffer, dtype }, i) => {
      const values = check.inputs[i]!;
      device.write(buffer!, dtype === 'f16' ? wordsOfHalves(values) : Float32Array.from(values));
    });
    const planned = await planVariant(device, check.request, variant, tensors);
    device.submit(planned.commands);
    planned.destroy();
    for (const { index, expected, bound } of check.outputs) {
      const { name, elements, type } = specs[index]!;
      const bytes = await device.read(tensors[index]!.buffer!, 0, 4 * Math.ceil((elements * BYTES[type]) / 4));
      const actual = (type === 'f16' ? floatsOfHalves(bytes) : new Float32Array(bytes)).subarray(0, elements);
      const { passed, description } = compare(
        actual,
        expected,
        type === 'f16' ? storedBound(bound, expected, 'f16') : bound,
      );
      if (!passed) return `${name}: ${description.split('\n')[0]}`;
    }
    return undefined;
  } finally {
    freeTensors(tensors);
  }
}

/** The request on a small case with edges. */
function smallRequest(request: KernelRequest): KernelRequest {
  const { key } = request;
  if (request.kind === 'matmul') {
    const { M, N, K } = request.request;
    const sizes = { M: oddSize(M, 148), N: oddSize(N, 132), K: oddSize(K, 68) };
    return { kind: 'matmul', key, calls: 1, request: { ...request.request, ...sizes } };
  }
  const { H, KV, D } = request.request.sizes;
  const sizes = { B: 1, T: 133, H: H / KV, KV: 1, D }; // one group of heads
  return { kind: 'attention', key, calls: 1, request: { ...request.request, sizes } };
}

const makeCheck = (small: KernelRequest, rescale: number): Check =>
  small.kind === 'matmul' ? matmulCheck(small) : attentionCheck(small, rescale);

/** Values that f16 holds, so that every type and every variant starts from the same ones. */
function values(label: string, count: number): Vector {
  const random = new Random(1, 'tuning', label);
  const halves = halvesOf(Float64Array.from({ length: count }, () => 4 * random.uniform() - 2));
  return Float64Array.from(floatsOfHalves(halves.buffer as ArrayBuffer));
}

/**
 * About `size`, an odd multiple of the vector that divides `real`: rows begin where those of the real matrix may begin,
 * so that the very pipeline is checked that will be timed, and no tile fits.
 */
function oddSize(real: number, size: number): number {
  const vector = [8, 4, 2].find(width => real % width === 0) ?? 1;
  return vector * (2 * Math.floor(size / (2 * vector)) + 1);
}

function matmulCheck(small: Extract<KernelRequest, { kind: 'matmul' }>): Check {
  const { form, M, N, K } = small.request;
  const shape = { M, N, K, transposeA: form === 'TN', transposeB: form === 'NT' };
  const [a, b, c] = [values('a', M * K), values('b', K * N), values('c', M * N)];
  const product = matmul(a, b, shape);
  const accumulates = form === 'TN';
  const expected = accumulates ? product.map((value, i) => value + c[i]!) : product;
  const bound = matmulBound(matmul(a, b, shape, true), K, accumulates ? c : undefined);
  return { request: small, inputs: [a, b, c], outputs: [{ index: 2, expected, bound }] };
}

function attentionCheck(small: Extract<KernelRequest, { kind: 'attention' }>, rescale: number): Check {
  const { kernel, sizes, type } = small.request;
  const { D } = sizes;
  const shape = { T: sizes.T, heads: sizes.H, D };
  const q = values('q', sizes.T * sizes.H * D);
  const [k, v] = [values('k', sizes.T * D), values('v', sizes.T * D)];
  const dout = values('dout', q.length);
  const { out, logsumexp } = attention({ q, k, v }, sizes);
  const { dq, dk, dv } = attentionBackward({ q, k, v }, dout, sizes);
  const bounds = attentionBounds({ q, k, v }, out, dout, sizes, { rescale });
  const stored = type === 'f16' ? Float64Array.from(floatsOfHalves(halvesOf(out).buffer as ArrayBuffer)) : out;
  const delta = rowDots(dout, out, shape);
  // delta is made of `out` as it is stored: the error of that reaches every element of dq by |k| <= 2
  const deltaBound = rowDots(
    dout.map(Math.abs),
    bounds.out.map((e, i) => e + Math.abs(stored[i]! - out[i]!)),
    shape,
  );
  const sums = rowDots(dout.map(Math.abs), out.map(Math.abs), shape);
  const deltaError = deltaBound.map((value, i) => value + 2 ** -23 * (D + 1) * sums[i]!);
  const dqBound = bounds.dq.map((value, i) => {
    const t = Math.floor(i / (sizes.H * D));
    const head = Math.floor(i / D) % sizes.H;
    return value + (2 * deltaError[head * sizes.T + t]!) / Math.sqrt(D);
  });
  const none = new Float64Array(k.length);
  const untouched = new Float64Array(q.length);
  const joined = (parts: readonly Vector[]) => sideBySide(parts, sizes.T);
  const qkv = joined([q, k, v]);
  const zeros = { qkv: new Float64Array(qkv.length), row: new Float64Array(logsumexp.length), out: untouched };
  if (kernel === 'attention_forward') {
    const outputs = [
      { index: 1, expected: out, bound: bounds.out },
      { index: 2, expected: logsumexp, bound: bounds.logsumexp },
    ];
    return { request: small, inputs: [qkv, zeros.out, zeros.row], outputs };
  }
  if (kernel === 'attention_backward_query') {
    const outputs = [
      { index: 4, expected: joined([dq, none, none]), bound: joined([dqBound, none, none]) },
      { index: 5, expected: delta, bound: deltaError },
    ];
    return { request: small, inputs: [qkv, stored, logsumexp, dout, zeros.qkv, zeros.row], outputs };
  }
  const expected = joined([untouched, dk, dv]);
  const bound = joined([untouched, bounds.dk, bounds.dv]);
  return { request: small, inputs: [qkv, logsumexp, delta, dout, zeros.qkv], outputs: [{ index: 4, expected, bound }] };
}

/** Dot products of rows [T, heads, D] → [heads, T]. */
function rowDots(a: Vector, b: Vector, { T, heads, D }: { T: number; heads: number; D: number }): Vector {
  const dots = new Float64Array(heads * T);
  a.forEach((value, i) => {
    dots[(Math.floor(i / D) % heads) * T + Math.floor(i / (heads * D))]! += value * b[i]!;
  });
  return dots;
}
