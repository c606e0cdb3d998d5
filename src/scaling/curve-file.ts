/** Reads a loss curve from a CSV file with columns `step`, `lr` and `loss`, and `parameters` if it has one. */
import { UserError } from '../errors.js';
import { type LossCurve, ratesBetween } from './curve.js';
import { parseRows } from './points.js';

const FIELDS = ['step', 'lr', 'loss', 'parameters'] as const;

/**
 * Reads a curve from the text of a CSV file.
 * @param file its name, for messages
 * @param columns field (step, lr, loss, parameters) → name of its column, where the two differ
 * @throws UserError naming the row and what is wrong with it, or the column that is missing
 */
export function parseCurve(text: string, file: string, columns: Readonly<Record<string, string>> = {}): LossCurve {
  const unknown = Object.keys(columns).find(field => !(FIELDS as readonly string[]).includes(field));
  if (unknown !== undefined) {
    throw new UserError(`no field '${unknown}' to map; the fields of a curve are ${FIELDS.join(', ')}`);
  }
  const { header, rows } = parseRows(text, file, 'step, lr and loss');
  const columnOf = (field: (typeof FIELDS)[number]) => columns[field] ?? field;
  for (const field of ['step', 'lr', 'loss'] as const) {
    if (header.includes(columnOf(field))) continue;
    throw new UserError(
      `'${file}' has no column '${columnOf(field)}', which a curve needs (another can be named: --column ` +
        `${field}=NAME); it has ${header.join(', ')}`,
    );
  }
  let last = 0;
  const read = rows.map(({ record, place }) => {
    const number = (field: 'step' | 'lr' | 'loss', holds: (value: number) => boolean, what: string) => {
      const cell = record[columnOf(field)]!;
      const value = cell === '' ? Number.NaN : Number(cell);
      if (Number.isFinite(value) && holds(value)) return value;
      throw new UserError(`${place}: ${columnOf(field)} is '${cell}'; it must be ${what}`);
    };
    const step = number(
      'step',
      value => Number.isInteger(value) && value > last && value <= MOST_STEPS,
      `a whole number above the step before it, ${last}, and at most ${MOST_STEPS}`,
    );
    last = step;
    const rate = number('lr', value => value >= 0, 'a finite number of at least 0');
    return { step, rate, loss: number('loss', value => value > 0, 'a finite number above 0') };
  });
  if (read.length < 2) throw new UserError(`'${file}' has ${read.length} rows; a curve needs at least two`);
  const parameters = header.includes(columnOf('parameters')) ? Number(rows[0]!.record[columnOf('parameters')]) : 1;
  if (!(parameters > 0) || !Number.isFinite(parameters)) {
    throw new UserError(`${rows[0]!.place}: ${columnOf('parameters')} must be a finite number above 0`);
  }
  return {
    name: file,
    ...(header.includes(columnOf('parameters')) && { parameters }),
    rates: ratesBetween(read),
    rows: read.map(({ step, loss }) => ({ step, loss })),
  };
}

/** Every step has a rate in memory. */
const MOST_STEPS = 1e8;
