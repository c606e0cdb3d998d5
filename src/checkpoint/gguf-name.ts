/** The name of a model in GGUF, by which llama.cpp knows the tokenizer of Phi-3. */
import { addedTokensOf, type TokenizerFile } from '../data/tokenizer-file.js';

/** What is in the name of a model whose tokens take the blanks behind them away. */
const PHI3 = /phi-?3/gi;
/** The tokens of such a model that leave them. */
const LEAVING: readonly string[] = ['<unk>', '<s>', '<|endoftext|>'];

/** Whether the added tokens take the blanks beside them away as llama.cpp has it of a Phi-3. */
export function stripsAsPhi3(file: TokenizerFile, tokens: readonly string[]): boolean {
  return (
    [...LEAVING, '</s>'].every(token => tokens.includes(token)) &&
    addedTokensOf(file).every(({ content, lstrip, rstrip }) => !lstrip && rstrip !== LEAVING.includes(content))
  );
}

/** Returns a name that says whether the tokens are those of a Phi-3, for which llama.cpp would look otherwise. */
export function ggufName(name: string, isPhi3: boolean): string {
  if (!isPhi3) return name.replace(PHI3, 'phi_3');
  return name.search(PHI3) >= 0 ? name : `${name} (phi-3)`;
}
