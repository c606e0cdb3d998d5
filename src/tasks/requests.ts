/** Turns context and continuation into tokens; those of the continuation are scored. */
import { UserError } from '../errors.js';
import type { Continuation } from './document.js';

/** What a tokenizer must offer. */
export interface Encoder {
  readonly separatorId: number;
  /** The ids that begin a document. */
  readonly startIds: readonly number[];
  /** Returns the ids of the text alone. */
  encode(text: string): Promise<number[]>;
  /** Returns the ids of the beginning of a document: the ids that begin one, and those of the text. */
  encodePrompt(text: string): Promise<number[]>;
}

export interface Request {
  readonly ids: readonly number[];
  /** The index of the first scored id, at least 1. */
  readonly start: number;
}

/**
 * Encodes as `loglikelihood` and `_encode_pair` of lm_eval/api/model.py do. Spaces that end the context go to the
 * continuation. The context alone has some number of ids; the continuation's ids are those of the whole text after as
 * many. An empty context becomes the tokens that begin a document, or else the token that ends one.
 * @throws UserError when the continuation has no token.
 */
export async function encodeRequest(encoder: Encoder, request: Continuation, where: string): Promise<Request> {
  const context = request.context.trimEnd();
  const continuation = request.context.slice(context.length) + request.continuation;
  let ids: readonly number[];
  let start: number;
  if (request.context === '') {
    const before = encoder.startIds.length > 0 ? encoder.startIds : [encoder.separatorId];
    const own = await encoder.encode(continuation);
    ids = before.every((id, i) => own[i] === id) ? own : [...before, ...own];
    start = before.length;
  } else {
    ids = await encoder.encodePrompt(context + continuation);
    start = (await encoder.encodePrompt(context)).length;
  }
  if (start < 1 || start >= ids.length) {
    throw new UserError(`${where}: '${continuation.slice(0, 80)}' has no token of its own, or nothing before it`);
  }
  return { ids, start };
}

/**
 * Keeps the last `length` + 1 ids, which are `length` predictions, as `_loglikelihood_tokens` of
 * lm_eval/models/huggingface.py does.
 * @throws UserError when that cuts the continuation.
 */
export function truncated(request: Request, length: number, where: string): Request {
  const { ids, start } = request;
  const cut = ids.length - (length + 1);
  if (cut <= 0) return request;
  if (start <= cut) {
    throw new UserError(`${where}: a continuation of ${ids.length - start} tokens does not fit ${length} positions`);
  }
  return { ids: ids.slice(cut), start: start - cut };
}
