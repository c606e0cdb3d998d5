import Table from 'cli-table3';

/** A table for the terminal: the first column to the left, figures to the right. */
export function makeTable(head: string[]) {
  return new Table({
    head,
    colAligns: head.map((_, i) => (i === 0 ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
}
