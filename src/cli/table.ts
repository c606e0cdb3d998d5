/** Tables and prose for the terminal, as wide as the terminal is; in a pipe, as wide as they come. */
import Table from 'cli-table3';

type Cell = string | number;

/** Returns the columns of the terminal on stdout; without a terminal there is no bound. */
export const terminalColumns = (): number =>
  process.stdout.isTTY ? process.stdout.columns || 80 : Number.POSITIVE_INFINITY;

/**
 * Makes a table of rows under a head: the first column to the left, figures to the right. Without a head, it is a table
 * of names and values.
 */
export function makeTable(head: readonly string[], columns = terminalColumns()): TerminalTable {
  return new TerminalTable(head, columns);
}

/** Returns a table of rows that are there already, as text. */
export function textTable(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const table = makeTable(head);
  table.push(...rows);
  return table.toString();
}

/** The most lines that a row may have; beyond that, a list is easier to read. */
const TALLEST_ROW = 6;

class TerminalTable {
  readonly #head: readonly string[];
  readonly #columns: number;
  readonly #rows: string[][] = [];

  constructor(head: readonly string[], columns: number) {
    this.#head = head;
    this.#columns = columns;
  }

  get length(): number {
    return this.#rows.length;
  }

  push(...rows: readonly (readonly Cell[])[]): void {
    this.#rows.push(...rows.map(row => row.map(String)));
  }

  toString(): string {
    const lines = this.#head.length > 0 ? [this.#head, ...this.#rows] : this.#rows;
    const count = Math.max(0, ...lines.map(line => line.length));
    const cells = Array.from({ length: count }, (_, i) => lines.map(line => line[i] ?? ''));
    const wanted = cells.map(column => Math.max(...column.map(text => text.length)));
    // each column takes a bar and two blanks, and the end takes a bar
    const widths = shrink(wanted, cells.map(narrowest), this.#columns - 3 * count - 1);
    if (!widths) return this.#list();
    const wrapped = lines.map(line => line.map((text, i) => fill(parts(text), widths[i]!, '')));
    if (Math.max(0, ...wrapped.flat().map(({ length }) => length)) > TALLEST_ROW) return this.#list();
    const isCut = widths.map((width, i) => width < wanted[i]!);
    const joined = wrapped.map(line => line.map(lines => lines.join('\n')));
    const hasHead = this.#head.length > 0;
    const table = new Table({
      head: hasHead ? joined[0]! : [],
      colAligns: this.#head.map((_, i) => (i === 0 || isCut[i] ? 'left' : 'right')),
      style: { head: [], border: [], compact: hasHead },
    });
    table.push(...(hasHead ? joined.slice(1) : joined));
    return table.toString();
  }

  /** Returns each row as lines of `name: value`, without its empty cells. */
  #list(): string {
    if (this.#head.length === 0) return this.#rows.map(row => this.#line(row.join(': '))).join('\n');
    const items = this.#rows.map(row =>
      row
        .flatMap((text, i) => {
          const name = this.#head[i] ?? '';
          if (text.trim() === '') return [];
          return [this.#line(name === '' ? text : `${name}: ${text.trim()}`)];
        })
        .join('\n'),
    );
    return items.join('\n\n');
  }

  #line = (text: string): string => wrap(text, this.#columns).join('\n');
}

/** Takes from the widest columns until all fit into `room`; undefined where they cannot. */
function shrink(wanted: readonly number[], least: readonly number[], room: number): number[] | undefined {
  const widths = [...wanted];
  for (let over = widths.reduce((sum, width) => sum + width, 0) - room; over > 0; over--) {
    const free = widths.map((width, i) => (width > least[i]! ? width : 0));
    const widest = Math.max(...free);
    if (widest === 0) return undefined;
    widths[free.indexOf(widest)]! -= 1;
  }
  return widths;
}

const narrowest = (column: readonly string[]): number =>
  Math.max(...column.flatMap(text => parts(text).map(part => part.trimEnd().length)));

/** Splits a text into words, each with the blanks after it. */
const words = (text: string): string[] => text.match(/^\s+|\S+\s*/g) ?? [''];

const NUMBER = /^[−+-]?\d[\d.,]*(e[−+-]?\d+)?[%A-Za-z]*$/;

/**
 * Splits a text where a line in a cell may end: after words, and within names such as `a/b`, `a-b` and `a_b`, but never
 * in a number.
 */
const parts = (text: string): string[] =>
  words(text).flatMap(word => (NUMBER.test(word.trim()) ? [word] : word.split(/(?<=[-_/,:;])(?=\S)/)));

/**
 * Returns prose in lines of at most `width`, all but the first indented. A longer word, such as a path, stays whole.
 */
export const wrap = (text: string, width: number): string[] => fill(words(text), width, '  ');

function fill(parts: readonly string[], width: number, indent: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const part of parts) {
    if (line.trim() !== '' && (line + part).trimEnd().length > width) {
      lines.push(line.trimEnd());
      line = indent;
    }
    line += part;
  }
  return [...lines, line.trimEnd()];
}
