/** Made-up text in made-up languages: enough structure to learn from, the same every time. */
import { Random } from '../../src/random.js';

const SYLLABLES = ['ka', 'lo', 'mi', 'tu', 'ren', 'sa', 'vé', 'ño', 'zi', 'per', 'dal', 'on'];

/** `words` words of language number `language`, in sentences and lines. */
export function sampleText(language: number, words: number): string {
  const random = new Random(language, 'text');
  const lexicon = Array.from({ length: 60 }, () =>
    Array.from({ length: 1 + random.integer(3) }, () => SYLLABLES[random.integer(SYLLABLES.length)]).join(''),
  );
  let text = '';
  for (let i = 0; i < words; i++) {
    const word = lexicon[Math.floor(lexicon.length * random.uniform() ** 2)]!;
    text += i % 9 === 8 ? `${word}.${i % 4 === 0 ? '\n' : ' '}` : `${word} `;
  }
  return text;
}
