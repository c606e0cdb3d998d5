/** Changes files as damage and malice would: each follows from a seed and knows the structure of its format. */
import type { Random } from '../../src/random.js';

export type Mutate = (whole: Buffer, random: Random) => Buffer;

const one = <Value>(random: Random, values: readonly Value[]): Value => values[random.integer(values.length)]!;

const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;

/** Values that a reader may not expect, as JSON. */
const NUMBERS = '0 -1 -0 0.5 1 7 255 65536 1e9 2147483648 4294967296 9007199254740993 1e300 -1e300 1e999'.split(' ');
const TEXTS = [
  '',
  'constructor',
  '__proto__',
  'toString',
  '../../outside',
  '/etc/passwd',
  '.',
  'model.safetensors',
  '\u0000',
  '\ud800',
  '\u001b[2J',
  'NaN',
  '1_000',
  'x'.repeat(5000),
].map(text => JSON.stringify(text));
const OTHERS = [
  'null true false [] {} [[]] [null] [1,2,3] [{}] NaN Infinity {"a":{"b":{}}}'.split(' '),
  [nested(50), nested(500), `[${Array(3000).fill(0).join()}]`, '{"__proto__":{"a":1}}', '{"toString":null}'],
].flat();
const HOSTILE = [...NUMBERS, ...TEXTS, ...OTHERS];

/** A place in a JSON text where a value stands, or a field with its value. */
const VALUE = /"(?:[^"\\]|\\.)*"(\s*:)?|-?\d[\d.eE+-]*|true|false|null|\{\}|\[\]/g;

/** Changes one to three values, keys or parts of a JSON text; the rest keeps its form. */
export const mutateJson: Mutate = (whole, random) => {
  let text = whole.toString();
  for (let left = 1 + random.integer(3); left > 0; left--) text = changeJson(text, random);
  return random.integer(20) === 0 ? mutateBytes(Buffer.from(text), random) : Buffer.from(text);
};

function changeJson(text: string, random: Random): string {
  const tokens = [...text.matchAll(VALUE)];
  if (tokens.length === 0) return one(random, HOSTILE);
  const found = one(random, tokens);
  const [before, after] = [text.slice(0, found.index), text.slice(found.index + found[0].length)];
  const isKey = found[1] !== undefined;
  switch (random.integer(8)) {
    case 0: // a field twice, or one that is unknown
      return isKey ? `${before}${one(random, TEXTS)}:${one(random, HOSTILE)},${found[0]}${after}` : text;
    case 1: // a field under another name
      return isKey ? `${before}${one(random, TEXTS)}:${after}` : `${before}${one(random, HOSTILE)}${after}`;
    case 2: // a field that is missing
      return isKey ? `${before}${after.replace(/^\s*("(?:[^"\\]|\\.)*"|[\d.eE+-]+|\w+)\s*,?/, '')}` : text;
    case 3: // the value of another place
      return isKey ? text : `${before}${one(random, tokens)[0].replace(/\s*:$/, '')}${after}`;
    case 4: // a list where there is a value
      return isKey ? text : `${before}[${found[0]}]${after}`;
    case 5: // a number a little off
      return /^\d+$/.test(found[0]) ? `${before}${Number(found[0]) + one(random, [-1, 1, 256])}${after}` : text;
    case 6: // the whole
      return random.integer(10) === 0 ? one(random, HOSTILE) : text.slice(0, random.integer(text.length));
    default:
      return isKey ? text : `${before}${one(random, HOSTILE)}${after}`;
  }
}

/** Changes a line as JSON, or the order, number and ends of lines. */
export const mutateLines: Mutate = (whole, random) => {
  const lines = whole.toString().split('\n');
  const at = random.integer(lines.length);
  switch (random.integer(6)) {
    case 0:
      return Buffer.from(lines.filter((_, i) => i !== at).join('\n'));
    case 1:
      return Buffer.from([...lines.slice(at), ...lines.slice(0, at)].join(one(random, ['\n', '\r\n', '\r', ''])));
    case 2:
      return mutateBytes(whole, random);
    default:
      lines[at] = mutateJson(Buffer.from(lines[at]!), random).toString();
      return Buffer.from(lines.join('\n'));
  }
};

const CELLS = [
  ...NUMBERS,
  'constructor',
  '__proto__',
  '',
  '"',
  '"a,b"',
  'NaN',
  'Infinity',
  '1_000',
  ' 1 ',
  'é',
  '\u0000',
];

/** Changes cells, columns and rows of a table. */
export const mutateTable: Mutate = (whole, random) => {
  const rows = whole.toString().split('\n');
  for (let left = 1 + random.integer(3); left > 0; left--) {
    const at = random.integer(rows.length);
    const cells = rows[at]!.split(',');
    const cell = random.integer(cells.length);
    const kind = random.integer(5);
    if (kind === 0) cells.splice(cell, 1);
    else if (kind === 1) cells.splice(cell, 0, one(random, CELLS));
    else cells[cell] = one(random, CELLS);
    rows[at] = cells.join(',');
    if (random.integer(10) === 0) rows.push(one(random, rows));
  }
  return random.integer(20) === 0 ? mutateBytes(Buffer.from(rows.join('\n')), random) : Buffer.from(rows.join('\n'));
};

const YAML = [
  '&a ',
  '*a',
  '!!binary ',
  '!x ',
  '? ',
  '- ',
  ': ',
  '|\n ',
  '>',
  '<<: ',
  '---\n',
  '...',
  '%YAML 9',
  '\t',
  '#',
];

/** Puts YAML's own marks into a text, shifts lines, or changes it as JSON, which is YAML too. */
export const mutateYaml: Mutate = (whole, random) => {
  const text = whole.toString();
  const at = random.integer(text.length);
  switch (random.integer(4)) {
    case 0:
      return Buffer.from(text.slice(0, at) + one(random, YAML) + text.slice(at));
    case 1: {
      const lines = text.split('\n');
      const line = random.integer(lines.length);
      lines[line] = one(random, [`  ${lines[line]}`, lines[line]!.trimStart(), `${lines[line]}\n${lines[line]}`, '']);
      return Buffer.from(lines.join('\n'));
    }
    case 2: {
      const hostile = one(random, HOSTILE);
      return Buffer.from(text.replace(one(random, text.match(/[^\s:[\]{},]+/g) ?? ['x']), () => hostile));
    }
    default:
      return mutateJson(whole, random);
  }
};

const WORDS = [0n, 1n, 2n, 255n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];

/** Flips bits, cuts, repeats, or writes a length that does not hold. */
export const mutateBytes: Mutate = (whole, random) => {
  const bytes = Buffer.from(whole);
  const at = random.integer(Math.max(1, bytes.length));
  switch (random.integer(6)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return Buffer.concat([bytes, bytes.subarray(at)]);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.integer(8))]);
    case 3:
      if (bytes.length >= 8) bytes.writeBigUInt64LE(one(random, WORDS), random.integer(bytes.length - 7));
      return bytes;
    default:
      for (let left = 1 + random.integer(3); left > 0 && bytes.length > 0; left--) {
        bytes[random.integer(bytes.length)]! ^= 1 << random.integer(8);
      }
      return bytes;
  }
};

/** Changes the JSON at the head of a file that begins with its length in eight bytes; the length mostly holds. */
export const mutateHeader: Mutate = (whole, random) => {
  if (random.integer(4) === 0) return mutateBytes(whole, random);
  const end = 8 + Number(whole.readBigUInt64LE());
  const header = mutateJson(whole.subarray(8, end), random);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, whole.subarray(end)]);
};
