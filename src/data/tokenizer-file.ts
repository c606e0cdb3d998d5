/** What a tokenizer.json of any kind says of its ids, read without making a tokenizer of it. */
import { z } from 'zod';
import { UserError } from '../errors.js';

const schema = z.looseObject({
  added_tokens: z.array(z.looseObject({ id: z.int(), content: z.string() })).nullish(),
  model: z.looseObject({
    // BPE, WordPiece and WordLevel map tokens to ids; of Unigram the place in the list is the id
    vocab: z.union([z.record(z.string(), z.int()), z.array(z.tuple([z.string(), z.number()]))]),
  }),
});

/** The largest id, added tokens included, and its token. @throws UserError naming `path` when it is no tokenizer.json. */
export function largestTokenId(json: string, path: string): { readonly id: number; readonly token: string } {
  let parsed: z.infer<typeof schema>;
  try {
    parsed = schema.parse(JSON.parse(json));
  } catch {
    throw new UserError(`'${path}' is not a tokenizer.json: it has no model with a vocab`);
  }
  let largest = { id: -1, token: '' };
  const see = (id: number, token: string) => {
    if (id > largest.id) largest = { id, token };
  };
  const { vocab } = parsed.model;
  if (Array.isArray(vocab))
    vocab.forEach(([token], id) => {
      see(id, token);
    });
  else for (const [token, id] of Object.entries(vocab)) see(id, token);
  for (const { id, content } of parsed.added_tokens ?? []) see(id, content);
  return largest;
}
