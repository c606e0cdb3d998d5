/** The words of prompts in each language. */

/** The question word, and the labels of entailment, neutral and contradiction: lm_eval/tasks/xnli/utils.py. */
export const XNLI_WORDS: Readonly<Record<string, readonly [string, readonly [string, string, string]]>> = {
  ar: ['صحيح', ['نعم', 'لذا', 'رقم']],
  bg: ['правилно', ['да', 'така', 'не']],
  de: ['richtig', ['Ja', 'Auch', 'Nein']],
  el: ['σωστός', ['Ναί', 'Έτσι', 'όχι']],
  en: ['right', ['Yes', 'Also', 'No']],
  es: ['correcto', ['Sí', 'Asi que', 'No']],
  fr: ['correct', ['Oui', 'Aussi', 'Non']],
  hi: ['सही', ['हाँ', 'इसलिए', 'नहीं']],
  ru: ['правильно', ['Да', 'Так', 'Нет']],
  sw: ['sahihi', ['Ndiyo', 'Hivyo', 'Hapana']],
  th: ['ถูกต้อง', ['ใช่', 'ดังนั้น', 'ไม่']],
  tr: ['doğru', ['Evet', 'Böylece', 'Hayır']],
  ur: ['صحیح', ['جی ہاں', 'اس لئے', 'نہیں']],
  vi: ['đúng', ['Vâng', 'Vì vậy', 'Không']],
  zh: ['正确', ['是的', '所以', '不是的']],
};

/** The connectives after a premise: lm_eval/tasks/xcopa/utils.py. */
export const XCOPA_WORDS: Readonly<Record<string, Readonly<Record<'cause' | 'effect', string>>>> = {
  et: { cause: 'sest', effect: 'seetõttu' },
  ht: { cause: 'poukisa', effect: 'donk sa' },
  id: { cause: 'karena', effect: 'maka' },
  it: { cause: 'perché', effect: 'quindi' },
  qu: { cause: 'imataq', effect: 'chaymi' },
  sw: { cause: 'kwa sababu', effect: 'kwa hiyo' },
  ta: { cause: 'காரணமாக', effect: 'எனவே' },
  th: { cause: 'เพราะ', effect: 'ดังนั้น' },
  tr: { cause: 'çünkü', effect: 'bu yüzden' },
  vi: { cause: 'bởi vì', effect: 'vì vậy' },
  zh: { cause: '因为', effect: '所以' },
};

/** The languages of the files default_*.yaml of lm_eval/tasks/xstorycloze. */
export const XSTORYCLOZE_LANGUAGES = ['ar', 'en', 'es', 'eu', 'hi', 'id', 'my', 'ru', 'sw', 'te', 'zh'];

/** LANGUAGES of lm_eval/tasks/xwinograd/utils.py; `jp` is Japanese. */
export const XWINOGRAD_LANGUAGES = ['en', 'fr', 'jp', 'pt', 'ru', 'zh'];

/**
 * The languages of the files hellaswag_*.yaml of lm_eval/tasks/okapi/hellaswag_multilingual, and Chinese, which the
 * release has too.
 */
export const HELLASWAG_LANGUAGES =
  'ar bn ca da de es eu fr gu hi hr hu hy id it kn ml mr ne nl pt ro ru sk sr sv ta te uk vi zh'.split(' ');
