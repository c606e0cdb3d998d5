/**
 * A kernel's interface, read from its specialised WGSL: the storage buffers that it binds, by name, and the fields of
 * the uniform struct that holds its parameters. Launchers name operands and parameters; numbers and order stay in the
 * WGSL.
 */
import type { ElementType } from './element-type.js';

export interface Binding {
  readonly number: number;
  readonly isWritten: boolean;
  /** The scalar type of its elements; undefined for a struct, whose fields are of four bytes each. */
  readonly scalar: string | undefined;
}

export interface Field {
  readonly name: string;
  readonly type: 'u32' | 'f32';
}

export interface KernelInterface {
  readonly bindings: ReadonlyMap<string, Binding>;
  /** The uniform with the kernel's parameters, where it has any. */
  readonly params: { readonly number: number; readonly fields: readonly Field[] } | undefined;
}

const interfaces = new Map<string, KernelInterface>();

/**
 * The interface of a specialised source.
 * @throws Error when a binding is outside group 0, or the uniform is not a struct of u32 and f32.
 */
export function interfaceOf(source: string): KernelInterface {
  let found = interfaces.get(source);
  if (!found) {
    found = parse(source);
    interfaces.set(source, found);
  }
  return found;
}

const ALIAS = /^\s*alias\s+(\w+)\s*=\s*([^;]+);/gm;
const STRUCT = /\bstruct\s+(\w+)\s*\{([^}]*)\}/g;
const VARIABLE =
  /@group\((\d+)\)\s*@binding\((\d+)\)\s*var<\s*(storage|uniform)\s*(?:,\s*(\w+)\s*)?>\s*(\w+)\s*:\s*([^;]+);/g;

function parse(source: string): KernelInterface {
  const text = source.replace(/\/\/.*$/gm, '');
  const aliases = new Map([...text.matchAll(ALIAS)].map(([, name, type]) => [name!, type!.trim()]));
  const structs = new Map([...text.matchAll(STRUCT)].map(([, name, body]) => [name!, body!]));
  const bindings = new Map<string, Binding>();
  let params: KernelInterface['params'];
  for (const [, group, number, space, access, name, type] of text.matchAll(VARIABLE)) {
    if (group !== '0') throw new Error(`'${name}' is bound in group ${group}: a kernel has group 0 alone`);
    if (space === 'uniform') params = { number: Number(number), fields: fieldsOf(structs.get(type!.trim()), name!) };
    else {
      const scalar = scalarOf(type!.trim(), aliases);
      bindings.set(name!, { number: Number(number), isWritten: access === 'read_write', scalar });
    }
  }
  return { bindings, params };
}

function fieldsOf(body: string | undefined, uniform: string): Field[] {
  if (body === undefined) throw new Error(`the uniform '${uniform}' is not a struct`);
  return body
    .split(',')
    .map(field => field.trim())
    .filter(field => field !== '')
    .map(field => {
      const [, name, type] = /^(\w+)\s*:\s*(u32|f32)$/.exec(field) ?? [];
      if (!name) throw new Error(`'${field}' of the uniform '${uniform}' is not a u32 or f32`);
      return { name, type: type as Field['type'] };
    });
}

/** The scalar that a type is made of: of `array<vec4<f16>>` f16; undefined for a struct. */
function scalarOf(type: string, aliases: ReadonlyMap<string, string>): string | undefined {
  const inner = /^(?:array|vec[234]|atomic)<\s*([^,]+?)\s*(?:,.*)?>$/.exec(type)?.[1];
  if (inner) return scalarOf(inner, aliases);
  const alias = aliases.get(type);
  if (alias) return scalarOf(alias, aliases);
  const short = /^vec[234]([fhui])$/.exec(type)?.[1];
  if (short) return { f: 'f32', h: 'f16', u: 'u32', i: 'i32' }[short];
  return ['f32', 'f16', 'u32', 'i32'].includes(type) ? type : undefined;
}

/** Whether a buffer of a type may be bound: words are bits, of whatever type; fields of a struct have four bytes. */
export function takes({ scalar }: Binding, type: ElementType): boolean {
  if (scalar === undefined) return type === 'f32' || type === 'u32';
  return scalar === type || scalar === 'u32';
}
