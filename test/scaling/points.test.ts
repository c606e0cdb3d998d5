import { describe, expect, test } from 'vitest';
import { parsePoints } from '../../src/scaling/points.js';

const parse = (text: string, options = {}) => parsePoints(text, 'points.csv', options);

describe('points', () => {
  test('whose annealed is the name of what every object has are refused', () => {
    for (const name of ['constructor', 'toString', '__proto__']) {
      const text = `parameters,tokens,loss,annealed\n10,20,3,${name}\n`;
      expect(() => parse(text)).toThrow(`annealed is '${name}'; it must be true or false`);
    }
  });

  test('are read from a table with a header, in any order, with a byte-order mark, quotes and other columns', () => {
    const text =
      '\ufeffrun,loss,"tokens", parameters,note\r\nr1,3.5,1e9,50000000,"a, b"\r\n\r\n,2.5,2000000000,1e8,\r\n';
    expect(parse(text).points).toEqual([
      { run: 'r1', parameters: 5e7, tokens: 1e9, loss: 3.5 },
      { parameters: 1e8, tokens: 2e9, loss: 2.5 },
    ]);
  });

  test('carry every count of N, FLOPs, rate, source tokens, replay and seed', () => {
    const header =
      'parameters,tokens,loss,nominal,total,withoutEmbeddings,flops,learningRate,sourceTokensPerParameter,replay,seed';
    const { points, used } = parse(`${header}\n10,20,3,12,10,8,1200,2e-4,20,0.1,7\n`);
    expect(points).toEqual([
      {
        parameters: 10,
        tokens: 20,
        loss: 3,
        nominal: 12,
        total: 10,
        withoutEmbeddings: 8,
        flops: 1200,
        learningRate: 2e-4,
        sourceTokensPerParameter: 20,
        replay: 0.1,
        seed: 7,
      },
    ]);
    expect(used.parameterCount).toBe('total');
  });

  test('take fields from columns of other names', () => {
    const text = 'withoutEmbeddings,D,val_loss\n10,20,3\n';
    const { points, used } = parse(text, {
      columns: { parameters: 'withoutEmbeddings', tokens: 'D', loss: 'val_loss' },
    });
    expect(points).toMatchObject([{ parameters: 10, tokens: 20, loss: 3 }]);
    expect(used.parameterCount).toBe('withoutEmbeddings');
    expect(parse('parameters,tokens,loss\n1,2,3\n').used.parameterCount).toBe('unstated');
  });

  test('of several kinds are refused where they are to be alike, with what chooses among those that are used', () => {
    const text =
      'how,language,rank,parameters,tokens,loss\nsource,en,,10,5,4\nlora,fr,4,10,5,4\nlora,fr,16,10,5,4\n' +
      'cpt,fr,,10,5,4\n';
    const alike = (where: object) =>
      parse(text, { columns: { strategy: 'how' }, alike: ['strategy', 'language', 'rank', 'no such column'], where });
    expect(() => alike({})).toThrow(
      "rows of 'points.csv' are of several kinds, which one law does not fit: how source, lora, cpt; " +
        'language en, fr; rank 4, 16. Choose one of them, such as --where how=cpt --where language=fr',
    );
    expect(() => alike({ how: 'lora' })).toThrow(/fit: rank 4, 16\. Choose one of them, such as --where rank=16$/);
    expect(alike({ how: 'cpt' }).points).toHaveLength(1);
    expect(alike({ rank: '4' }).points).toHaveLength(1);
  });

  test('can be chosen by a column, and rows left out for a reason', () => {
    const text =
      'method,parameters,tokens,loss,warmupTokens,annealed\n' +
      'cpt,10,5,4,10,false\ncpt,10,50,3,10,false\ncpt,10,50,3,10,false\ncpt,10,90,2,10,true\nscratch,10,90,oops,10,true\n';
    const losses = (exclude: string[]) => {
      const { points, used } = parse(text, { where: { method: 'cpt' }, exclude });
      return [points.map(({ loss }) => loss), used.excluded, used.unannealed];
    };
    expect(losses([])).toEqual([[4, 3, 3, 2], { where: 1 }, 3]);
    expect(losses(['repeated'])).toEqual([[4, 3, 2], { repeated: 1, where: 1 }, 2]);
    expect(losses(['warmup'])).toEqual([[3, 3, 2], { warmup: 1, where: 1 }, 2]);
    expect(losses(['repeated', 'warmup', 'unannealed'])).toEqual([
      [2],
      { repeated: 1, warmup: 1, unannealed: 1, where: 1 },
      0,
    ]);
  });
});

describe('bad points are refused', () => {
  const rows = (...lines: string[]) => `parameters,tokens,loss,replay,annealed\n${lines.join('\n')}\n`;
  const good = '10,20,3,,';

  test.each<[string, string, object, RegExp]>([
    [
      'a loss of 0',
      rows(good, '10,20,0,,'),
      {},
      /'points.csv' row 2 \(line 3\): loss is '0'; it must be a finite number above 0/,
    ],
    ['a negative loss', rows('10,20,-1,,'), {}, /row 1 \(line 2\): loss is '-1'/],
    ['a loss that is NaN', rows(good, good, '10,20,NaN,,'), {}, /row 3 \(line 4\): loss is 'NaN'/],
    ['an infinite loss', rows('10,20,Infinity,,'), {}, /row 1 \(line 2\): loss is 'Infinity'/],
    ['an empty loss', rows('10,20,,,'), {}, /row 1 \(line 2\): loss is empty/],
    ['tokens of 0', rows('10,0,3,,'), {}, /row 1 \(line 2\): tokens is '0'/],
    ['parameters in words', rows('10M,20,3,,'), {}, /row 1 \(line 2\): parameters is '10M'/],
    ['a replay above 1', rows('10,20,3,30,'), {}, /row 1 \(line 2\): replay is 30; it must be a share/],
    ['annealed neither true nor false', rows('10,20,3,,maybe'), {}, /annealed is 'maybe'/],
    ['a row too short', rows('10,20'), {}, /'points.csv' is not a CSV table: .*line 2/],
    [
      'a missing column',
      'parameters,tokens,perplexity\n1,2,3\n',
      {},
      /no column 'loss', which is needed \(.*--column loss=NAME\); it has parameters, tokens, perplexity/,
    ],
    [
      'a mapped column that is missing',
      rows(good),
      { columns: { loss: 'nll' } },
      /no column 'nll', which was to be loss/,
    ],
    [
      'an unknown field',
      rows(good),
      { columns: { size: 'tokens' } },
      /no field 'size' to map; the fields are parameters/,
    ],
    ['a column to choose by that is missing', rows(good), { where: { method: 'cpt' } }, /no column 'method'/],
    [
      'no column for warm-up',
      rows(good),
      { exclude: ['warmup'] },
      /no column 'warmupTokens', which excluding warmup goes by/,
    ],
    ['two columns of a name', 'loss,loss\n1,2\n', {}, /two columns 'loss'/],
    ['nothing', '', {}, /'points.csv' is empty/],
  ])('%s', (_, text, options, message) => {
    expect(() => parse(text, options)).toThrow(message);
  });

  test('the line is that of the file, after rows with line feeds in quotes', () => {
    expect(() => parse('parameters,tokens,loss,note\n1,2,3,"two\nlines"\n1,2,0,x\n')).toThrow(/row 2 \(line 4\)/);
  });
});
