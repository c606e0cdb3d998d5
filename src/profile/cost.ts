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
  const passes = passesOver(source);
  return Object.entries(buffers).reduce((sum, [name, { sizeBytes }]) => sum + passes.get(name)! * sizeBytes, 0);
}

const known = new Map<string, ReadonlyMap<string, number>>();

/** Returns the passes over each binding of a source, by name: one for reading it, one for writing it. */
function passesOver(source: string): ReadonlyMap<string, number> {
  let passes = known.get(source);
  if (!passes) {
    const body = source.replaceAll(/\/\/.*$|^.*\bvar<storage\b.*$/gm, '');
    const { bindings } = interfaceOf(source);
    passes = new Map([...bindings].map(([name, { isWritten }]) => [name, isWritten ? usesOf(body, name).size : 1]));
    known.set(source, passes);
  }
  return passes;
}

/**
 * Returns how a source uses a name: `y[i] = grid.y` writes y, `y[i] += 1` reads it too, and a name that is not assigned
 * to is read.
 */
function usesOf(body: string, name: string): ReadonlySet<'read' | 'write'> {
  const uses = new Set<'read' | 'write'>();
  for (const { index } of body.matchAll(new RegExp(`(?<![.\\w])${name}\\b`, 'g'))) {
    const after = body.slice(behindIndex(body, index + name.length));
    const isUpdated = /^\s*[-+*/]=/.test(after);
    const isAssigned = isUpdated || /^\s*=(?!=)/.test(after);
    if (isAssigned) uses.add('write');
    if (!isAssigned || isUpdated) uses.add('read');
  }
  return uses;
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
