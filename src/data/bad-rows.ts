/** Rows of text files that are no documents. A bad row is an error by default; otherwise it is left out and counted. */
import { UserError } from '../errors.js';

export const ON_BAD_ROW = ['error', 'skip'] as const;
export type OnBadRow = (typeof ON_BAD_ROW)[number];

/** The place of a bad row, counted from 1, and what is wrong with it. */
export interface BadRow {
  readonly file: string;
  readonly unit: 'line' | 'row';
  readonly number: number;
  readonly why: string;
}

/** The number of bad rows that are kept to be named. */
const TOLD = 5;

/** Counts what is left out while documents are read: hand the same one to every file of a command. */
export class BadRows {
  readonly #onBadRow: OnBadRow;
  readonly #first: BadRow[] = [];
  #count = 0;
  #emptyDocuments = 0;

  constructor(onBadRow: OnBadRow = 'error') {
    this.#onBadRow = onBadRow;
  }

  /**
   * Takes a bad row. @throws UserError naming the row and what is wrong with it, unless bad rows are to be left out.
   */
  add(row: BadRow): void {
    if (this.#onBadRow === 'error') {
      throw new UserError(`${placeOf(row)} ${row.why}; mend the row, or leave out such rows with --on-bad-row skip`);
    }
    this.#count++;
    if (this.#first.length < TOLD) this.#first.push(row);
  }

  addEmptyDocument(): void {
    this.#emptyDocuments++;
  }

  /** The counts, for --json. */
  get counts() {
    return { badRows: { count: this.#count, first: this.#first }, emptyDocuments: this.#emptyDocuments };
  }

  /** The counts in words; undefined where nothing was left out. */
  get summary(): string | undefined {
    const parts: string[] = [];
    if (this.#count > 0) {
      const more = this.#count > this.#first.length ? ', …' : '';
      parts.push(`${this.#count} bad row(s) left out: ${this.#first.map(placeOf).join(', ')}${more}`);
    }
    if (this.#emptyDocuments > 0) parts.push(`${this.#emptyDocuments} empty document(s) left out`);
    return parts.length > 0 ? parts.join('; ') : undefined;
  }
}

const placeOf = ({ file, unit, number }: BadRow): string => `'${file}' ${unit} ${number}`;
