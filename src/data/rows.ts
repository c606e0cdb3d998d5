/**
 * Rows of tables: the objects of .jsonl (also .gz and .zst) and the rows of .parquet, with checked access to fields.
 */
import { UserError } from '../errors.js';
import { readJsonObjects } from './json-lines.js';
import { readParquetRows } from './parquet.js';

/** A row whose accessors throw a UserError that names the file, the row and the field. */
export class Row {
  readonly values: Readonly<Record<string, unknown>>;
  /** The file and the line or row, for messages. */
  readonly where: string;

  constructor(values: Readonly<Record<string, unknown>>, where: string) {
    this.values = values;
    this.where = where;
  }

  has(field: string): boolean {
    return Object.hasOwn(this.values, field) && this.values[field] !== null;
  }

  text(field: string): string {
    const value = this.#value(field);
    if (typeof value !== 'string') throw this.fault(field, 'it must be a text');
    return value;
  }

  /** Returns a list of at least two texts. */
  texts(field: string): readonly string[] {
    const value = this.#value(field);
    if (!Array.isArray(value) || value.length < 2 || !value.every(item => typeof item === 'string')) {
      throw this.fault(field, 'it must be a list of at least two texts');
    }
    return value;
  }

  /** Returns one of `options`, as a text. */
  oneOf<Option extends string>(field: string, options: readonly Option[]): Option {
    const value = this.text(field);
    const found = options.find(option => option === value);
    if (found === undefined) throw this.fault(field, `it must be one of ${options.join(', ')}`);
    return found;
  }

  /**
   * Returns a whole number, given as a number or its digits: one of `count` from `first` on. @returns it, counted from
   * 0.
   */
  index(field: string, count: number, first = 0): number {
    const value = this.#value(field);
    const isDigits = typeof value === 'string' && /^\s*\d+\s*$/.test(value);
    const number = typeof value === 'number' || typeof value === 'bigint' || isDigits ? Number(value) : Number.NaN;
    if (!Number.isInteger(number) || number < first || number >= first + count) {
      throw this.fault(field, `it must be a whole number from ${first} to ${first + count - 1}`);
    }
    return number - first;
  }

  /** Returns the error that a field's value calls for. */
  fault(field: string, what: string): UserError {
    const shown = JSON.stringify(this.values[field], (_, value) => (typeof value === 'bigint' ? Number(value) : value));
    return new UserError(`${this.where}: field '${field}' is ${shown.slice(0, 80)}: ${what}`);
  }

  #value(field: string): unknown {
    if (this.has(field)) return this.values[field];
    const names = Object.keys(this.values).join(', ') || 'none';
    throw new UserError(`${this.where} has no field '${field}'; its fields: ${names}`);
  }
}

/** Yields the rows of a file. @throws UserError naming the file, and the line or row, of what cannot be read. */
export async function* readRows(path: string): AsyncGenerator<Row> {
  if (path.endsWith('.parquet')) {
    for await (const { value, row } of readParquetRows(path)) yield new Row(value, `'${path}' row ${row}`);
  } else if (/\.jsonl(\.(gz|zst))?$/.test(path)) {
    for await (const { value, line } of readJsonObjects(path)) yield new Row(value, `'${path}' line ${line}`);
  } else throw new UserError(`'${path}' has no rows: only .jsonl (also .gz or .zst) and .parquet have`);
}
