/** What a kernel call computes and moves, by its launcher's count and by the ranges that it binds. */
import type { KernelCall } from '../kernels/call.js';
import { interfaceOf } from '../kernels/interface.js';

/**
 * The kernels that bind a whole table or cache and touch some rows of it; ids and positions on the device decide which.
 */
const LOOKUPS = new Set(['embedding_forward', 'embedding_backward', 'cache_write']);

/**
 * Returns the bytes that a call reads and writes if it touches everything that it binds once: the size of each binding,
 * and twice the size of one that it both reads and writes. Undefined where it touches a part only.
 */
export function bytesOfCall({ label, source, buffers }: KernelCall): number | undefined {
  if (LOOKUPS.has(label)) return undefined;
  const updated = updatedIn(source);
  return Object.entries(buffers).reduce(
    (sum, [name, { sizeBytes }]) => sum + (updated.has(name) ? 2 : 1) * sizeBytes,
    0,
  );
}

const known = new Map<string, ReadonlySet<string>>();

/** Returns the names of the bindings that a source both reads and writes. */
function updatedIn(source: string): ReadonlySet<string> {
  let updated = known.get(source);
  if (!updated) {
    const body = source.replaceAll(/\/\/.*$|^.*\bvar<storage\b.*$/gm, '');
    const { bindings } = interfaceOf(source);
    updated = new Set(
      [...bindings].filter(([name, { isWritten }]) => isWritten && isRead(body, name)).map(([name]) => name),
    );
    known.set(source, updated);
  }
  return updated;
}

/** Whether a name is used other than as the target of an assignment: `y[i] = x` does not read y, `y[i] += x` does. */
function isRead(body: string, name: string): boolean {
  return [...body.matchAll(new RegExp(`\\b${name}\\b`, 'g'))].some(({ index }) => {
    const after = body.slice(behindIndex(body, index + name.length));
    return !/^\s*=(?!=)/.test(after);
  });
}

/** Returns the end of the `[…]` that begins at `at`, and which may hold brackets itself; `at` where there is none. */
function behindIndex(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    if (text[i] === '[') depth++;
    else if (text[i] === ']') depth--;
    if (depth === 0) return i === at ? at : i + 1;
  }
  return at;
}
