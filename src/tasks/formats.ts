/** The formats of the tasks' public releases: each turns a row into a question. */
import type { Row } from '../data/rows.js';
import { type ChoiceDocument, choicesAfter, choicesBefore } from './document.js';
import { XCOPA_WORDS, XNLI_WORDS } from './languages.js';

/** Reads a row. @returns undefined for a row in another language than the task's. */
export type ReadRow = (row: Row) => ChoiceDocument | undefined;

const XNLI_LABELS = ['entailment', 'neutral', 'contradiction'] as const;

/**
 * Reads a row as lm_eval/tasks/xnli does: no context, and the whole of `premise, question? label, hypothesis` for each
 * label. Rows are those of facebook/xnli (premise, hypothesis, label 0 to 2), or of XNLI 1.0's .jsonl (sentence1,
 * sentence2, gold_label), whose files have all languages.
 */
export function xnli(language: string): ReadRow {
  const [question, labels] = XNLI_WORDS[language]!;
  return row => {
    const isOriginal = row.has('gold_label');
    if (isOriginal && row.text('language') !== language) return undefined;
    const premise = row.text(isOriginal ? 'sentence1' : 'premise');
    const hypothesis = row.text(isOriginal ? 'sentence2' : 'hypothesis');
    const answer = isOriginal ? XNLI_LABELS.indexOf(row.oneOf('gold_label', XNLI_LABELS)) : row.index('label', 3);
    const choices = labels.map(label => `${premise}, ${question}? ${label}, ${hypothesis}`);
    return choicesAfter(row.where, '', choices, answer);
  };
}

/** Reads a row of juletxara/xstory_cloze as lm_eval/tasks/xstorycloze does. */
export const xstorycloze: ReadRow = row => {
  const sentences = [1, 2, 3, 4].map(i => row.text(`input_sentence_${i}`));
  const endings = [row.text('sentence_quiz1'), row.text('sentence_quiz2')];
  return choicesAfter(row.where, sentences.join(' '), endings, row.index('answer_right_ending', 2, 1));
};

/**
 * Reads a row of XCOPA's .jsonl or of cambridgeltl/xcopa as lm_eval/tasks/xcopa does: the premise without its full
 * stop, and a connective.
 */
export function xcopa(language: string): ReadRow {
  return row => copaDocument(row, XCOPA_WORDS[language]!, '');
}

/** Reads a row of SuperGLUE's COPA as lm_eval/tasks/super_glue/copa does; its choices have a space of their own. */
export const copa: ReadRow = row => copaDocument(row, { cause: 'because', effect: 'therefore' }, ' ');

function copaDocument(row: Row, words: Readonly<Record<'cause' | 'effect', string>>, space: string): ChoiceDocument {
  const connective = words[row.oneOf('question', ['cause', 'effect'])];
  const premise = [...row.text('premise').trim()].slice(0, -1).join('');
  const choices = ['choice1', 'choice2'].map(field => {
    const [first = '', ...rest] = row.text(field);
    return `${space}${first.toLowerCase()}${rest.join('')}`;
  });
  return choicesAfter(row.where, `${premise} ${connective}`, choices, row.index('label', 2));
}

/**
 * Reads a row of Muennighoff/xwinograd or of WinoGrande as lm_eval/tasks/xwinograd and winogrande do. It is the partial
 * evaluation of Trinh and Le (2018, arXiv 1806.02847): each option in the blank makes a context, and the text after the
 * blank is scored.
 */
export const winograd: ReadRow = row => {
  const sentence = row.text('sentence');
  const blank = sentence.indexOf('_');
  if (blank < 0) throw row.fault('sentence', "it must have a blank '_'");
  const contexts = ['option1', 'option2'].map(field => sentence.slice(0, blank) + row.text(field));
  return choicesBefore(row.where, contexts, sentence.slice(blank + 1).trim(), row.index('answer', 2, 1));
};

/**
 * Reads a row of HellaSwag's .jsonl or of alexandrainst/m_hellaswag as lm_eval/tasks/hellaswag and
 * okapi/hellaswag_multilingual do.
 */
export const hellaswag: ReadRow = row => {
  const context = `${row.text('activity_label')}: ${row.text('ctx_a')} ${capitalized(row.text('ctx_b'))}`;
  const endings = row.texts('endings');
  return choicesAfter(row.where, cleaned(context), endings.map(cleaned), row.index('label', endings.length));
};

/** Removes the brackets that are left over from WikiHow. */
function cleaned(text: string): string {
  return text
    .trim()
    .replaceAll(' [title]', '. ')
    .replaceAll(/\[[^\n]*?\]/g, '')
    .replaceAll('  ', ' ');
}

/** Capitalizes as Python does: the first letter becomes large, all others small. */
function capitalized(text: string): string {
  const [first = '', ...rest] = text;
  return first.toUpperCase() + rest.join('').toLowerCase();
}

/** Reads a row of baber/piqa, or of PIQA's .jsonl with the labels beside it, as lm_eval/tasks/piqa does. */
export const piqa: ReadRow = row => {
  const context = `Question: ${row.text('goal')}\nAnswer:`;
  return choicesAfter(row.where, context, [row.text('sol1'), row.text('sol2')], row.index('label', 2));
};

/** Reads a row of one's own task: `context`, a list of `choices`, and `answer`, the index of the right one from 0. */
export const multipleChoice: ReadRow = row => {
  const choices = row.texts('choices');
  return choicesAfter(row.where, row.text('context'), choices, row.index('answer', choices.length));
};
