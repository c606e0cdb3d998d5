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
