import { expect, test } from 'vitest';
import { configFields, parseFields } from '../src/run/config.js';
import { whyInvalid } from '../src/schema.js';
import { choicesSchema } from '../src/tune/choices.js';

test('what a schema refuses is named by its field, on one line', () => {
  const rows = { 'rmsnorm_forward f32 C128': { lanes: 8, workgroup: 8, vector: 3 } };
  const { error } = choicesSchema.safeParse({ matmul: {}, attention: {}, rows });
  expect(whyInvalid(error)).toBe('rows.rmsnorm_forward f32 C128.vector: must be 1 or 4');
  expect(whyInvalid(choicesSchema.safeParse(7).error)).toMatch(/^Invalid input: expected object/);
  expect(whyInvalid(choicesSchema.safeParse(7).error, 'choices')).toMatch(/^choices: Invalid input: expected object/);
  expect(whyInvalid(error, 'choices')).toBe(whyInvalid(error));
  expect(whyInvalid(new SyntaxError('cut off'))).toBe('cut off');
});

test('attention by broadcast is read as runs of 0.1.0 recorded it, and not in the form that is gone', () => {
  const before = { subgroups: true, workgroup: 8, own: 2, rows: 4 };
  const key = 'attention_forward f32 D64 T1024';
  expect(choicesSchema.parse({ attention: { [key]: before } }).attention[key]).toEqual({ lanes: 8, own: 2, rows: 4 });
  const gone = { attention: { [key]: { ...before, subgroups: false } } };
  expect(whyInvalid(choicesSchema.safeParse(gone).error)).toContain(key);
});

/** Values of every kind, of which each field takes some. */
const VALUES = [null, true, -1, 0, 0.5, 1e9, Number.NaN, '', 'x', [], [1], {}, { x: 1 }, [{ name: 'x' }], [{ nme: 1 }]];
/** What zod says where nobody says it better. */
const ZOD = /Invalid|expected|received|Too (small|big)|Unrecognized|NaN$/;

test.each(Object.keys(configFields))('what is wrong with %s is said in our words', field => {
  const messages = VALUES.flatMap(value => {
    try {
      parseFields({ [field]: value }, 'run.yaml');
      return [];
    } catch (error) {
      return [(error as Error).message];
    }
  });
  expect(messages.length).toBeGreaterThan(3);
  for (const message of messages) expect(message).not.toMatch(ZOD);
});
