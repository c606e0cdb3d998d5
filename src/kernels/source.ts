/**
 * Loads kernels/NAME.wgsl and specialises it. A kernel file is WGSL with
 * - constants that are known when the pipeline is made: where the source names one, `const NAME = 4u;` stands ahead of
 *   it for a number, and `alias NAME = vec4<f32>;` for a type;
 * - `#include lib/x.wgsl`, which pastes kernels/lib/x.wgsl;
 * - `#if ${NAME}` … `#elif ${NAME}` … `#else` … `#endif` (the package wgsl-preprocessor);
 * - `#for i in COUNT, j in 4` … `#end`: the lines between, for each i = 0 … COUNT-1 and j = 0 … 3, the last the
 *   fastest, with `${i}` and `${j}` replaced by the numbers. Registers cannot be indexed at run time, and not every
 *   driver unrolls loops, so tiles are unrolled here;
 * - `${NAME}` elsewhere, which pastes a value as it is, such as the name of a function;
 * - bindings without numbers, `var<storage, read> x: array<f32>;`: they are numbered in their order.
 *
 * `enable f16;` and the like are added where the specialised source needs them. This is the one place that reads kernel
 * files: everything above it is free of the file system.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { wgsl } from 'wgsl-preprocessor/wgsl-preprocessor.js';
import { packageRoot } from '../files.js';
import { sha256 } from '../hash.js';

/** The values that a kernel is specialised with, by name. A boolean serves `#if` only. */
export type Constants = Readonly<Record<string, number | string | boolean>>;

/** A line of a kernel, and where it stands: `kernels/rope.wgsl:19`. */
interface Line {
  readonly text: string;
  readonly origin: string;
}

const files = new Map<string, readonly Line[]>();
const specialised = new Map<string, string>();
const origins = new Map<string, readonly string[]>();

/** A kernel file's lines without those that are comments alone. */
function linesOf(file: string): readonly Line[] {
  let lines = files.get(file);
  if (!lines) {
    lines = readFileSync(join(packageRoot, 'kernels', file), 'utf8')
      .split('\n')
      .map((text, i) => ({ text, origin: `kernels/${file}:${i + 1}` }))
      .filter(({ text }) => !/^\s*(\/\/.*)?$/.test(text));
    files.set(file, lines);
  }
  return lines;
}

/** SHA-256 of all kernel files: what was measured of them holds while it is the same. */
export function kernelsHash(): string {
  const folder = join(packageRoot, 'kernels');
  const names = (readdirSync(folder, { recursive: true }) as string[]).filter(name => name.endsWith('.wgsl')).sort();
  return sha256(names.map(name => `${name}\n${readFileSync(join(folder, name), 'utf8')}`).join(''));
}

/**
 * The WGSL of a kernel with its constants.
 * @throws Error naming the line where `${…}`, `#if` or `#for` has a name that was given no value.
 */
export function specialise(name: string, constants: Constants): string {
  const key = `${name} ${JSON.stringify(constants)}`;
  let source = specialised.get(key);
  if (source === undefined) {
    const body = numberBindings(decide(unroll(include(linesOf(`${name}.wgsl`)), constants), constants));
    const lines = [...prelude(name, body, constants), ...body];
    source = `${lines.map(({ text }) => text).join('\n')}\n`;
    specialised.set(key, source);
    origins.set(
      source,
      lines.map(({ origin }) => origin),
    );
  }
  return source;
}

/**
 * Where line number `line` (from 1) of a specialised source stands in the kernel files; undefined for other sources.
 */
export const originOf = (source: string, line: number): string | undefined => origins.get(source)?.[line - 1];

function include(lines: readonly Line[]): Line[] {
  return lines.flatMap(line => {
    const file = /^\s*#include (\S+)$/.exec(line.text)?.[1];
    return file ? include(linesOf(file)) : [line];
  });
}

function constantOf(name: string, constants: Constants, { origin }: Line): number | string | boolean {
  const value = constants[name];
  if (value === undefined) throw new Error(`${origin} needs a value of '${name}', and the launcher gave none`);
  return value;
}

/** Writes out the `#for` blocks, outer ones first, so that an inner body sees the outer numbers filled in. */
function unroll(lines: readonly Line[], constants: Constants): Line[] {
  const out: Line[] = [];
  for (let i = 0; i < lines.length; i++) {
    const counters = /^\s*#for (.+)$/.exec(lines[i]!.text)?.[1];
    if (!counters) {
      out.push(lines[i]!);
      continue;
    }
    const end = matchingEnd(lines, i);
    const bodies = counters.split(',').reduce(
      (made, counter) => {
        const [, variable, bound] = /^\s*(\w+) in (\w+)\s*$/.exec(counter) ?? [];
        if (!variable) throw new Error(`${lines[i]!.origin}: '${counter.trim()}' is not 'name in COUNT'`);
        const count = Number(/^\d+$/.test(bound!) ? bound : constantOf(bound!, constants, lines[i]!));
        return made.flatMap(body => Array.from({ length: count }, (_, n) => fill(body, variable, n)));
      },
      [lines.slice(i + 1, end)],
    );
    for (const body of bodies) out.push(...unroll(body, constants));
    i = end;
  }
  return out;
}

const fill = (body: readonly Line[], variable: string, n: number): Line[] =>
  body.map(({ text, origin }) => ({ text: text.replaceAll(`\${${variable}}`, String(n)), origin }));

function matchingEnd(lines: readonly Line[], start: number): number {
  let depth = 0;
  for (let i = start; i < lines.length; i++) {
    if (/^\s*#for /.test(lines[i]!.text)) depth++;
    if (/^\s*#end\s*$/.test(lines[i]!.text) && --depth === 0) return i;
  }
  throw new Error(`${lines[start]!.origin}: '${lines[start]!.text.trim()}' has no #end`);
}

/** Decides `#if`s and fills in what is pasted. Lines that are left carry their number through the preprocessor. */
function decide(lines: readonly Line[], constants: Constants): Line[] {
  const strings = [''];
  const values: (number | string | boolean)[] = [];
  lines.forEach((line, n) => {
    const [text, ...others] = line.text.split(/\$\{(\w+)\}/);
    strings.push(`${strings.pop()}${text}`);
    others.forEach((piece, i) => {
      if (i % 2 === 0) values.push(constantOf(piece, constants, line));
      else strings.push(piece);
    });
    const isDirective = /^\s*#/.test(line.text);
    strings.push(`${strings.pop()}${isDirective ? '' : `//@${n}`}\n`);
  });
  return wgsl(strings, ...values)
    .split('\n')
    .flatMap(text => {
      const [, kept, n] = /^(.*)\/\/@(\d+)$/.exec(text) ?? [];
      return n === undefined ? [] : [{ text: kept!, origin: lines[Number(n)]!.origin }];
    });
}

/** Gives numbers to the bindings, in their order. */
function numberBindings(lines: readonly Line[]): Line[] {
  let next = 0;
  return lines.map(line => {
    const isBinding = /^\s*var<(storage|uniform)\b/.test(line.text);
    return isBinding ? { ...line, text: `@group(0) @binding(${next++}) ${line.text.trim()}` } : line;
  });
}

/** The `enable` directives that a source needs, and the constants that it names. */
function prelude(name: string, body: readonly Line[], constants: Constants): Line[] {
  const text = body.map(line => line.text).join('\n');
  const named = new Set(text.match(/\b[A-Za-z_]\w*\b/g));
  const declared = Object.entries(constants)
    .filter(([constant, value]) => named.has(constant) && typeof value !== 'boolean')
    .map(([constant, value]) =>
      typeof value === 'number' ? `const ${constant} = ${value}u;` : `alias ${constant} = ${value};`,
    );
  const all = `${declared.join('\n')}\n${text}`;
  const extensions: string[] = [];
  if (/\bf16\b/.test(all)) extensions.push('f16');
  if (/\bsubgroup[A-Z]/.test(all)) extensions.push('subgroups');
  if (/\bsubgroupMatrix/.test(all)) extensions.push('chromium_experimental_subgroup_matrix');
  const origin = `constants of kernels/${name}.wgsl`;
  return [...extensions.map(extension => `enable ${extension};`), ...declared].map(line => ({ text: line, origin }));
}

/** Whether a specialised source has operations of a subgroup. */
export const usesSubgroups = (source: string): boolean => /^enable subgroups;$/m.test(source);

/** The constants that stand ahead of a specialised source, as text: what its variant and its types come to. */
export function constantsOf(source: string): Record<string, string> {
  const [head = ''] = /^(?:(?:enable|const|alias) .*\n)*/.exec(source) ?? [];
  const declared = [...head.matchAll(/^(?:const|alias) (\w+) = (.*);$/gm)];
  return Object.fromEntries(declared.map(([, name, value]) => [name!, value!.replace(/^(\d+)u$/, '$1')]));
}
