/** What each release's rows become: prompts written out by hand from the harness's definitions. */
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, test } from 'vitest';
import { readTask, TASK_NAMES } from '../../src/tasks/task.js';
import { temporaryFolder } from '../data/temporary.js';

const { folder, write } = temporaryFolder();
const sample = (name: string) => fileURLToPath(new URL(`../fixtures/tasks/${name}`, import.meta.url));

/** Contexts and continuations, without repeating a context that all choices share; and answers. */
async function read(task: string, path: string) {
  const { documents } = await readTask(task, [path]);
  return documents.map(({ requests, answer }) => {
    const contexts = new Set(requests.map(({ context }) => context));
    return { contexts: [...contexts], continuations: requests.map(({ continuation }) => continuation), answer };
  });
}

describe('prompts', () => {
  test('XNLI: no context, the whole is scored', async () => {
    const [first, second] = await read('xnli_fr', sample('xnli_fr.jsonl'));
    expect(first).toEqual({
      contexts: [''],
      continuations: [
        ' Le chat dort sur le toit., correct? Oui, Un animal se repose.',
        ' Le chat dort sur le toit., correct? Aussi, Un animal se repose.',
        ' Le chat dort sur le toit., correct? Non, Un animal se repose.',
      ],
      answer: 0,
    });
    expect(second!.answer).toBe(2);
  });

  test('XNLI 1.0: the rows of the language, and labels by name', async () => {
    const german = await read('xnli_de', sample('xnli_original.jsonl'));
    expect(german.map(({ answer }) => answer)).toEqual([1, 0]);
    expect(german[0]!.continuations[1]).toBe(' Er fährt nach Bonn., richtig? Auch, Er hat dort Freunde.');
    const spanish = await read('xnli_es', sample('xnli_original.jsonl'));
    expect(spanish).toHaveLength(1);
    expect(spanish[0]!.continuations[2]).toBe(' Llueve mucho., correcto? No, El suelo está seco.');
    await expect(read('xnli_zh', sample('xnli_original.jsonl'))).rejects.toThrow("no row is of 'xnli_zh'");
  });

  test('XStoryCloze: four sentences, two endings', async () => {
    const [first, second] = await read('xstorycloze_ru', sample('xstorycloze_ru.jsonl'));
    expect(first).toEqual({
      contexts: [
        'Аня посадила семя. Она поливала его каждый день. Через неделю появился росток. Она поставила горшок на солнце.',
      ],
      continuations: [' Скоро вырос цветок.', ' Она купила машину.'],
      answer: 0,
    });
    expect(second!.answer).toBe(1);
  });

  test('XCOPA: the premise without its full stop, and a connective', async () => {
    const [effect, cause] = await read('xcopa_zh', sample('xcopa_zh.jsonl'));
    expect(effect).toEqual({
      contexts: ['杯子掉到了地上 所以'],
      continuations: [' 它碎了。', ' 它飞走了。'],
      answer: 0,
    });
    expect(cause!.contexts).toEqual(['他把灯打开了 因为']);
  });

  test('COPA: choices begin small, after two spaces', async () => {
    expect(await read('copa', sample('copa.jsonl'))).toEqual([
      {
        contexts: ['The ice melted because'],
        continuations: ['  the sun came out.', '  it was night.'],
        answer: 0,
      },
    ]);
  });

  test('Winograd: the options are in the contexts, the rest of the sentence is scored', async () => {
    for (const task of ['xwinograd_en', 'winogrande']) {
      const [first, second] = await read(task, sample('xwinograd_en.jsonl'));
      expect(first).toEqual({
        contexts: ['The box did not fit in the bag because the box', 'The box did not fit in the bag because the bag'],
        continuations: [' was too large.', ' was too large.'],
        answer: 0,
      });
      expect(second!.answer).toBe(1);
    }
  });

  test('HellaSwag: brackets go, the second part begins large and goes on small', async () => {
    const [first, second] = await read('hellaswag', sample('hellaswag.jsonl'));
    expect(first!.contexts).toEqual(['Baking bread: A man puts dough on a table. He']);
    expect(first!.continuations[0]).toBe(' kneads it with both hands.');
    // brackets go after the ends are trimmed, so that a text may begin with a space
    expect(second).toEqual({
      contexts: ['Home: How to clean a pan. Pour water in. Wait.'],
      continuations: ['  Scrub it gently.', ' Throw it away. Buy another.'],
      answer: 1,
    });
    const [german] = await read('hellaswag_de', sample('hellaswag_de.jsonl'));
    expect(german!.contexts).toEqual(['Kochen: Eine Frau schält Kartoffeln. Die frau lacht und']);
  });

  test('PIQA, with its labels in a file of their own', async () => {
    expect(await read('piqa', sample('piqa.jsonl'))).toEqual([
      {
        contexts: ['Question: dry wet shoes\nAnswer:'],
        continuations: [' Stuff them with newspaper.', ' Stuff them with butter.'],
        answer: 0,
      },
      {
        contexts: ['Question: open a jar\nAnswer:'],
        continuations: [' Hit it with a feather.', ' Warm the lid under hot water.'],
        answer: 1,
      },
    ]);
  });

  test('one of your own, under any name', async () => {
    const [first] = await read('multiple_choice:mine', sample('own.jsonl'));
    expect(first).toEqual({ contexts: ['one'], continuations: [' aa', ' aaaa'], answer: 1 });
  });
});

describe('files', () => {
  test('.parquet with 64-bit labels and lists, and .jsonl.gz', async () => {
    const columnData = [
      { name: 'activity_label', data: ['Baking bread'] },
      { name: 'ctx_a', data: ['A man puts dough on a table.'] },
      { name: 'ctx_b', data: ['he'] },
      { name: 'endings', data: [['kneads it.', 'sings.']], type: 'JSON' as const },
      { name: 'label', data: [1n], type: 'INT64' as const },
    ];
    const table = write('hellaswag.parquet', new Uint8Array(parquetWriteBuffer({ columnData })));
    const [row] = await read('hellaswag', table);
    expect(row!.answer).toBe(1);
    expect(row!.continuations).toEqual([' kneads it.', ' sings.']);
    const packed = write('own.jsonl.gz', gzipSync('{"context":"c","choices":["a","b"],"answer":0}\n'));
    expect(await read('multiple_choice', packed)).toHaveLength(1);
  });

  test('only the first documents, of several files', async () => {
    const { documents } = await readTask('hellaswag', [sample('hellaswag.jsonl'), sample('hellaswag_de.jsonl')], 1);
    expect(documents).toHaveLength(1);
    const { documents: three } = await readTask('hellaswag', [sample('hellaswag.jsonl'), sample('hellaswag_de.jsonl')]);
    expect(three).toHaveLength(3);
  });

  test('the languages of the harness', () => {
    for (const name of ['xnli_zh', 'xstorycloze_es', 'xcopa_zh', 'xwinograd_ru', 'hellaswag_fr', 'hellaswag_zh']) {
      expect(TASK_NAMES).toContain(name);
    }
  });
});

describe('what is wrong is named with its file and row', () => {
  const good = '{"context":"c","choices":["a","b"],"answer":0}\n';
  const cases: [string, string, string, RegExp][] = [
    [
      'a missing field',
      'multiple_choice',
      `${good}{"context":"c","answer":0}\n`,
      /line 2 has no field 'choices'; its fields: context, answer/,
    ],
    [
      'an answer out of range',
      'multiple_choice',
      `${good}${good.replace(':0', ':2')}`,
      /line 2: field 'answer' is 2: it must be a whole number from 0 to 1/,
    ],
    ['an answer that is none', 'multiple_choice', good.replace(':0', ':""'), /line 1: field 'answer' is ""/],
    [
      'one choice',
      'multiple_choice',
      good.replace(',"b"', ''),
      /line 1: field 'choices' is \["a"\]: it must be a list of at least two texts/,
    ],
    [
      'a sentence without a blank',
      'winogrande',
      '{"sentence":"s","option1":"a","option2":"b","answer":"1"}\n',
      /line 1: field 'sentence' is "s": it must have a blank '_'/,
    ],
    [
      'a question that is neither',
      'xcopa_zh',
      '{"premise":"p","question":"why","choice1":"a","choice2":"b","label":0}\n',
      /field 'question' is "why": it must be one of cause, effect/,
    ],
    ['rows of another task', 'piqa', good, /line 1 has no field 'goal'; its fields: context, choices, answer/],
    ['a line that is not JSON', 'multiple_choice', `${good}{\n`, /line 2 is not JSON/],
    ['an empty file', 'multiple_choice', '', /is empty/],
    ['blank lines', 'multiple_choice', '\n\n', /has only blank lines/],
  ];

  test.each(cases)('%s', async (_, task, text, message) => {
    await expect(readTask(task, [write('bad.jsonl', text)])).rejects.toThrow(message);
  });

  test('a label too few beside PIQA', async () => {
    const row = '{"goal":"g","sol1":"a","sol2":"b"}\n';
    const path = write('valid.jsonl', row + row);
    write('valid-labels.lst', '1\n');
    await expect(readTask('piqa', [path])).rejects.toThrow(/valid.jsonl' line 2 has no field 'label'/);
  });

  test('an unknown task, a text file, no file', async () => {
    const path = write('good.jsonl', good);
    await expect(readTask('xnli_xx', [path])).rejects.toThrow(
      /there is no task 'xnli_xx'; there are xnli_ar, .*xnli_zh/,
    );
    await expect(readTask('mmlu', [path])).rejects.toThrow(
      /there is no task 'mmlu'; there are .*piqa.*multiple_choice:NAME/,
    );
    await expect(readTask('piqa', [write('a.txt', 'text')])).rejects.toThrow(/'.*a.txt' has no rows/);
    await expect(readTask('piqa', [`${folder}/none.jsonl`])).rejects.toThrow(/there is no file or folder/);
  });
});
