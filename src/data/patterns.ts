/** The patterns by which byte-level BPE splits a text into the parts within which tokens are learned. */

/** The pattern of GPT-2. The ByteLevel step of the format splits by it where it has no other. */
export const GPT2_PATTERN = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

/**
 * The pattern that splits a text into the parts within which tokens are learned. It splits as Llama 3 and Qwen do, but
 * marks (vowel signs, accents) and joiners stay with their letters: otherwise a word of Hindi, Tamil or Thai falls into
 * pieces.
 */
export const WORD_PATTERN =
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{M}\p{N}]?[\p{L}\p{M}][\p{L}\p{M}\u200c\u200d]*` +
  String.raw`| ?\p{N}{1,3}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

/** The pattern of Llama 3 and GPT-4. */
export const LLAMA3_PATTERN =
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}` +
  String.raw`| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

/** The pattern of Qwen 2, 2.5 and 3. */
export const QWEN_PATTERN =
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}` +
  String.raw`| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

/** What `tokenizer train --pattern` takes by name: what llama.cpp knows by name too. */
export const NAMED_PATTERNS: Readonly<Record<string, string>> = { gpt2: GPT2_PATTERN, qwen2: QWEN_PATTERN };

/**
 * The patterns that split a text into the parts within which byte-level BPE merges: those of GPT-2, Llama 3 and GPT-4,
 * Qwen, GPT-4o, Mistral Nemo and DeepSeek, and the pattern of tokenizers that are trained here.
 */
export const KNOWN_PATTERNS: ReadonlySet<unknown> = new Set([
  GPT2_PATTERN,
  WORD_PATTERN,
  LLAMA3_PATTERN,
  QWEN_PATTERN,
  String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+` +
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?" +
    String.raw`|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*` +
    String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+` +
    String.raw`|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}` +
    String.raw`| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+' +
    '| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+',
]);
