/** The chat template of a model folder: how a conversation is written as one text. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../errors.js';
import { readJson, readText } from '../input-files.js';
import { inWords, whyInvalid } from '../schema.js';

const schema = z.looseObject({
  chat_template: z
    .union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))], {
      error: 'it must be a text, or a list of { name, template }',
    })
    .nullish(),
});

/**
 * Returns what chat_template.jinja holds, which transformers takes first, or else the `chat_template` of
 * tokenizer_config.json, of several the one that is named `default`.
 * @throws UserError when tokenizer_config.json holds none where it should.
 */
export function readChatTemplate(folder: string): string | undefined {
  const whole = join(folder, 'chat_template.jinja');
  if (existsSync(whole)) return readText(whole);
  const path = join(folder, 'tokenizer_config.json');
  if (!existsSync(path)) return undefined;
  const { success, data, error } = schema.safeParse(readJson(path), inWords);
  if (!success) throw new UserError(`'${path}': ${whyInvalid(error, 'file')}`);
  const { chat_template: given } = data;
  if (!Array.isArray(given)) return given ?? undefined;
  return given.find(({ name }) => name === 'default')?.template;
}
