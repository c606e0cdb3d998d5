/** What a kernel call computes and moves, by its launcher's count and by what it binds. */
import type { KernelCall } from '../kernels/call.js';

/**
 * Kernels that bind a whole table or cache and touch some of its rows: which, depends on ids and positions that only the
 * device has. What they bind says nothing of what they move.
 */
const LOOKUPS = new Set(['embedding_forward', 'embedding_backward', 'cache_write', 'attention_cached']);

/**
 * Bytes that a call reads and writes if it touches everything that it binds once: a binding that it reads, its size; one
 * that it writes, its size; one that it reads and writes, twice that. Undefined where it touches a part only.
 */
export function bytesOfCall({ label, source, buffers }: KernelCall): number | undefined {
  if (LOOKUPS.has(label)) return undefined;
  const passes = passesOver(source);
  return buffers.reduce((sum, { sizeBytes }, binding) => sum + (passes[binding] ?? 0) * sizeBytes, 0);
}

const BINDING = /@binding\((\d+)\) var<storage, (read|read_write)> (\w+)[^;]*;/g;
const known = new Map<string, number[]>();

/** Of each storage binding of a source: once for reading, once for writing. */
function passesOver(source: string): number[] {
  let passes = known.get(source);
  if (!passes) {
    passes = [];
    const body = source.replaceAll(BINDING, '');
    for (const [, binding, access, name] of source.matchAll(BINDING)) {
      passes[Number(binding)] = access === 'read_write' && isRead(body, name!) ? 2 : 1;
    }
    known.set(source, passes);
  }
  return passes;
}

/** Whether a name is used otherwise than as what is assigned to: `y[i] = x` does not read y, `y[i] += x` does. */
function isRead(body: string, name: string): boolean {
  return [...body.matchAll(new RegExp(`\\b${name}\\b`, 'g'))].some(({ index }) => {
    const after = body.slice(behindIndex(body, index + name.length));
    return !/^\s*=(?!=)/.test(after);
  });
}

/** The end of `[…]` that begins at `at`, which may hold brackets itself; `at` where there is none. */
function behindIndex(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    if (text[i] === '[') depth++;
    else if (text[i] === ']') depth--;
    if (depth === 0) return i === at ? at : i + 1;
  }
  return at;
}
