import { UserError } from '../errors.js';

/** @throws UserError saying what of a tokenizer llama.cpp would do otherwise than its tokenizer.json says. */
export function refuseTokenizer(what: string): never {
  throw new UserError(
    `GGUF cannot say what this tokenizer does: ${what}. It can with the byte-level BPE of GPT-2, GPT-4, Llama 3 and ` +
      'Qwen (tokenizer train --pattern qwen2, or gpt2), and with the BPE with byte fallback that comes from ' +
      'SentencePiece (Llama 2, Mistral 7B, Gemma); use --format hf',
  );
}
