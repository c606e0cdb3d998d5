/**
 * Measured points, one in each row of a CSV file: a model of N parameters had this loss after D tokens. `parameters`,
 * `tokens` and `loss` are needed; the other fields are kept so that other laws can be fitted to the same file.
 */
import { CsvError, parse } from 'csv-parse/sync';
import { UserError } from '../errors.js';
import { ownValue } from '../own.js';

/** What the fields mean. A file may have other columns, and may name its columns otherwise (see `columns`). */
export const pointFields = {
  parameters: 'N of the law',
  nominal: "parameters by the reference study's count, which is not what is trained",
  total: 'all parameters, a tied head once',
  withoutEmbeddings: 'parameters without the embedding table and an untied head',
  tokens: 'D of the law: tokens trained on so far',
  uniqueTokens: 'different tokens among them (default: all)',
  flops: 'training FLOPs so far (default: 6 · parameters · tokens)',
  loss: 'held-out loss in nats per token',
  sourceLoss: 'held-out loss in the source language',
  copy: "accuracy of a probe of copying with the run's own tokens, 0 to 1",
  induction: 'accuracy of one of induction',
  sourceCopy: 'that of copying with the tokens of the source language',
  sourceInduction: 'that of induction',
  learningRate: 'peak learning rate',
  sourceTokensPerParameter: 'tokens per parameter that the source model of a CPT run was trained on',
  replay: 'share of source-language tokens in the mixture, 0 to 1',
  seed: 'of the run',
  warmupTokens: 'tokens at which the warm-up of the learning rate ended',
} as const;
export type NumericField = keyof typeof pointFields;

export interface Point extends Readonly<Partial<Record<NumericField, number>>> {
  readonly parameters: number;
  readonly tokens: number;
  readonly loss: number;
  /** The name of the run that the point lies on. */
  readonly run?: string;
  /** What kind of run that is, as a study has it: source, scratch, cpt or lora. */
  readonly strategy?: string;
  /** Whether the learning rate had been decayed to its end. */
  readonly annealed?: boolean;
}

/** Rows that can be left out: exact repeats, points before the end of warm-up, points that are not annealed. */
export const exclusions = ['repeated', 'warmup', 'unannealed'] as const;
export type Exclusion = (typeof exclusions)[number];

export interface PointOptions {
  /** Field → name of its column, where the two differ. */
  readonly columns?: Readonly<Record<string, string>>;
  /** Column → the text that a row must have there to be used. */
  readonly where?: Readonly<Record<string, string>>;
  readonly exclude?: readonly Exclusion[];
  /** The fields that are needed beside parameters, tokens and loss. */
  readonly needed?: readonly NumericField[];
  /** Fields and columns in which the rows that are used may not differ, where they have anything there. */
  readonly alike?: readonly string[];
}

/** Which rows of a file were used, and which count of parameters N is. */
export interface Used {
  readonly file: string;
  readonly rows: number;
  readonly points: number;
  readonly where: Readonly<Record<string, string>>;
  /** The number of rows left out by each exclusion that was asked for, and by `where`. */
  readonly excluded: Readonly<Partial<Record<Exclusion | 'where', number>>>;
  readonly columns: Readonly<Record<string, string>>;
  /** The count that `parameters` is, where the file tells. */
  readonly parameterCount: 'nominal' | 'total' | 'withoutEmbeddings' | 'unstated';
  /** The number of points that are known not to be annealed: they bias a fit. */
  readonly unannealed: number;
}

/** A row with its place in the file; the header is line 1. */
interface Row {
  readonly record: Readonly<Record<string, string>>;
  readonly place: string;
}

/**
 * Reads points from the text of a CSV file with a header.
 * @param file its name, for messages
 * @throws UserError naming the row and what is wrong with it, the column that is missing, or those that differ
 */
export function parsePoints(text: string, file: string, options: PointOptions = {}): { points: Point[]; used: Used } {
  const { columns = {}, where = {}, exclude = [], needed = [], alike = [] } = options;
  const { header, rows } = parseRows(text, file);
  const columnOf = (field: string) => columns[field] ?? field;
  const requireColumn = (column: string, why: string) => {
    if (header.includes(column)) return;
    throw new UserError(`'${file}' has no column '${column}', ${why}; it has ${header.join(', ')}`);
  };
  const fields = [...Object.keys(pointFields), 'run', 'strategy', 'annealed'];
  for (const [field, column] of Object.entries(columns)) {
    if (!fields.includes(field)) throw new UserError(`no field '${field}' to map; the fields are ${fields.join(', ')}`);
    requireColumn(column, `which was to be ${field}`);
  }
  for (const field of ['parameters', 'tokens', 'loss', ...needed]) {
    requireColumn(columnOf(field), `which is needed (another column can be named: --column ${field}=NAME)`);
  }
  if (exclude.includes('warmup')) requireColumn(columnOf('warmupTokens'), 'which excluding warmup goes by');
  if (exclude.includes('unannealed')) requireColumn(columnOf('annealed'), 'which excluding unannealed goes by');
  for (const column of Object.keys(where)) requireColumn(column, 'which rows were to be chosen by');

  const excluded: Partial<Record<Exclusion | 'where', number>> = {};
  const leaveOut = (reason: Exclusion | 'where') => {
    excluded[reason] = (excluded[reason] ?? 0) + 1;
    return [];
  };
  for (const reason of exclude) excluded[reason] = 0;
  const seen = new Set<string>();
  const taken: Row[] = [];
  const points = rows.flatMap((row): Point[] => {
    if (Object.entries(where).some(([column, value]) => row.record[column] !== value)) return leaveOut('where');
    if (exclude.includes('repeated')) {
      const cells = JSON.stringify(Object.values(row.record));
      if (seen.has(cells)) return leaveOut('repeated');
      seen.add(cells);
    }
    const point = toPoint(row, columnOf, needed);
    if (exclude.includes('warmup') && point.tokens < (point.warmupTokens ?? 0)) return leaveOut('warmup');
    if (exclude.includes('unannealed') && point.annealed !== true) return leaveOut('unannealed');
    taken.push(row);
    return [point];
  });
  checkAlike(taken, alike.map(columnOf), file);
  const used: Used = {
    file,
    rows: rows.length,
    points: points.length,
    where,
    excluded,
    columns,
    parameterCount: countOf(points, columnOf('parameters')),
    unannealed: points.filter(({ annealed }) => annealed === false).length,
  };
  return { points, used };
}

/** @throws UserError naming the columns in which rows differ, and what chooses among them. */
function checkAlike(rows: readonly Row[], columns: readonly string[], file: string): void {
  const found = columns.map(column => {
    const values = [...new Set(rows.map(({ record }) => record[column]))].filter(value => value); // empty or no column
    return { column, values };
  });
  const differing = found.filter(({ values }) => values.length > 1);
  if (differing.length === 0) return;
  const kinds = differing.map(({ column, values }) => `${column} ${values.join(', ')}`).join('; ');
  const { record } = rows.at(-1)!;
  const choice = differing.flatMap(({ column }) => (record[column] ? [`--where ${column}=${record[column]}`] : []));
  throw new UserError(
    `rows of '${file}' are of several kinds, which one law does not fit: ${kinds}. ` +
      `Choose one of them, such as ${choice.join(' ')}`,
  );
}

/** Reads a CSV table with a header. @param needs the columns that it needs, for the message about an empty one */
export function parseRows(
  text: string,
  file: string,
  needs = 'parameters, tokens and loss',
): { header: string[]; rows: Row[] } {
  let parsed: { record: string[]; info: { lines: number } }[];
  try {
    parsed = parse(text, { bom: true, trim: true, skip_empty_lines: true, info: true }) as unknown as typeof parsed;
  } catch (error) {
    if (error instanceof CsvError) throw new UserError(`'${file}' is not a CSV table: ${error.message}`);
    throw error;
  }
  const [first, ...rest] = parsed;
  if (!first) throw new UserError(`'${file}' is empty; it needs a header with ${needs}`);
  const header = first.record;
  const twice = header.find((name, i) => header.indexOf(name) !== i);
  if (twice !== undefined) throw new UserError(`'${file}' has two columns '${twice}'`);
  const rows = rest.map(({ record, info }, i) => ({
    record: Object.fromEntries(header.map((name, j) => [name, record[j]!])),
    place: `'${file}' row ${i + 1} (line ${info.lines})`,
  }));
  return { header, rows };
}

/** The fields that must be above 0; the other fields must only not be below it. */
const POSITIVE: readonly NumericField[] = ['parameters', 'tokens', 'loss', 'flops', 'sourceLoss', 'uniqueTokens'];

/** The fields that are shares. */
const SHARES: readonly NumericField[] = ['replay', 'copy', 'induction', 'sourceCopy', 'sourceInduction'];

function toPoint({ record, place }: Row, columnOf: (field: string) => string, needed: readonly string[]): Point {
  const point: Record<string, number | string | boolean> = {};
  for (const field of Object.keys(pointFields) as NumericField[]) {
    const column = columnOf(field);
    const text = record[column];
    const required = ['parameters', 'tokens', 'loss', ...needed].includes(field);
    if (text === undefined || (text === '' && !required)) continue;
    const value = text === '' ? Number.NaN : Number(text);
    const positive = POSITIVE.includes(field);
    if (!Number.isFinite(value) || value < 0 || (positive && value === 0)) {
      throw new UserError(
        `${place}: ${column} is ${text === '' ? 'empty' : `'${text}'`}; it must be a finite number ` +
          `${positive ? 'above 0' : 'of at least 0'}`,
      );
    }
    if (SHARES.includes(field) && value > 1)
      throw new UserError(`${place}: ${column} is ${value}; it must be a share, 0 to 1`);
    point[field] = value;
  }
  for (const field of ['run', 'strategy']) {
    const name = record[columnOf(field)];
    if (name) point[field] = name;
  }
  const annealed = record[columnOf('annealed')];
  if (annealed) {
    const value = ownValue({ true: true, '1': true, false: false, '0': false }, annealed.toLowerCase());
    if (value === undefined) throw new UserError(`${place}: annealed is '${annealed}'; it must be true or false`);
    point.annealed = value;
  }
  return point as unknown as Point;
}

function countOf(points: readonly Point[], column: string): Used['parameterCount'] {
  const counts = ['nominal', 'total', 'withoutEmbeddings'] as const;
  const named = counts.find(count => count === column);
  const equal = counts.find(count => points.length > 0 && points.every(point => point[count] === point.parameters));
  return named ?? equal ?? 'unstated';
}
