import { expect, test } from 'vitest';
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
