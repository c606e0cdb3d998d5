/**
 * Loads kernels/NAME.wgsl and specialises it. A kernel file is WGSL with
 * - holes `${NAME}`: a number or type known when the pipeline is made; `${LIB_X}` pastes kernels/lib/x.wgsl;
 * - `#if ${NAME}` … `#elif` … `#else` … `#endif` (the package wgsl-preprocessor);
 * - `#for i in NAME` … `#end`: the lines between, once for each i = 0 … NAME-1, with `${i}` replaced by the number.
 *   Registers cannot be indexed at run time, and not every driver unrolls loops, so tiles are unrolled here.
 *
 * `enable f16;` and the like are added where the specialised source needs them. This is the one place that reads kernel
 * files: everything above it is free of the file system.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { packageRoot } from '../files.js';

/** Values for a kernel's holes. A boolean serves `#if` only. */
export type Holes = Readonly<Record<string, number | string | boolean>>;

const files = new Map<string, string>();
const specialised = new Map<string, string>();

function kernelText(name: string): string {
  let text = files.get(name);
  if (text === undefined) {
    text = readFileSync(join(packageRoot, 'kernels', `${name}.wgsl`), 'utf8').replace(/^\s*\/\/.*\n/gm, '');
    files.set(name, text);
  }
  return text;
}

/** SHA-256 of all kernel files: what was measured of them holds while it is the same. */
export function kernelsHash(): string {
  const folder = join(packageRoot, 'kernels');
  const hash = createHash('sha256');
  for (const name of (readdirSync(folder, { recursive: true }) as string[]).sort()) {
    if (name.endsWith('.wgsl')) hash.update(`${name}\n`).update(readFileSync(join(folder, name)));
  }
  return hash.digest('hex');
}

/**
 * The WGSL of a kernel with its holes filled.
 * @throws Error when a hole has no value: an unfilled one would be pasted as `undefined`.
 */
export function specialise(name: string, holes: Holes): string {
  const key = `${name} ${JSON.stringify(holes)}`;
  let source = specialised.get(key);
  if (source === undefined) {
    const text = kernelText(name).replace(/\$\{LIB_(\w+)\}/g, (_, snippet: string) =>
      kernelText(`lib/${snippet.toLowerCase()}`),
    );
    const pieces = unroll(text, holes, name).split(/\$\{(\w+)\}/);
    const values = pieces.filter((_, i) => i % 2 === 1).map(hole => holeValue(hole, holes, name));
    source = wgsl(
      pieces.filter((_, i) => i % 2 === 0),
      ...values,
    ).replace(/\n\s*\n+/g, '\n');
    source = `${extensions(source)}${source}`;
    specialised.set(key, source);
  }
  return source;
}

/** The `enable` directives that a source needs. */
function extensions(source: string): string {
  const needed: string[] = [];
  if (/\bf16\b/.test(source)) needed.push('f16');
  if (/\bsubgroup[A-Z]/.test(source)) needed.push('subgroups');
  if (/\bsubgroupMatrix/.test(source)) needed.push('chromium_experimental_subgroup_matrix');
  return needed.map(name => `enable ${name};\n`).join('');
}

function holeValue(hole: string, holes: Holes, kernel: string): number | string | boolean {
  const value = holes[hole];
  if (value === undefined) throw new Error(`kernel '${kernel}' has a hole \${${hole}} that was given no value`);
  return value;
}

/** Writes out the `#for` blocks, outer ones first, so that an inner body sees the outer numbers filled in. */
function unroll(text: string, holes: Holes, kernel: string): string {
  const out: string[] = [];
  const lines = text.split('\n');
  for (let i = 0; i < lines.length; i++) {
    const head = /^\s*#for (\w+) in (\w+)\s*$/.exec(lines[i]!);
    if (!head) {
      out.push(lines[i]!);
      continue;
    }
    const end = matchingEnd(lines, i, kernel);
    const body = lines.slice(i + 1, end).join('\n');
    const [, variable, bound] = head;
    const count = /^\d+$/.test(bound!) ? Number(bound) : Number(holeValue(bound!, holes, kernel));
    for (let n = 0; n < count; n++) out.push(unroll(body.replaceAll(`\${${variable}}`, String(n)), holes, kernel));
    i = end;
  }
  return out.join('\n');
}

function matchingEnd(lines: readonly string[], start: number, kernel: string): number {
  let depth = 0;
  for (let i = start; i < lines.length; i++) {
    if (/^\s*#for /.test(lines[i]!)) depth++;
    if (/^\s*#end\s*$/.test(lines[i]!) && --depth === 0) return i;
  }
  throw new Error(`kernel '${kernel}': '${lines[start]!.trim()}' has no #end`);
}
