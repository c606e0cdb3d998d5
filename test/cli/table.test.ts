import { describe, expect, test } from 'vitest';
import { makeTable, wrap } from '../../src/cli/table.js';

const HEAD = ['kernel', 'calls', 'fastest', 'ms'];
const ROWS = [
  ['attention_backward_key_value f32 D16 T64', 4, 'subgroup lanes=4 groups=2 columns=4 unroll=4', '12.345'],
  ['', '', '  then subgroup lanes=4 groups=1', '-0.001e-5'],
] as const;

function tableAt(columns?: number): string[] {
  const table = makeTable(HEAD, columns);
  table.push(...ROWS);
  return table.toString().split('\n');
}

describe('a table', () => {
  test('that is piped is as wide as its cells', () => {
    const lines = tableAt();
    expect(lines[3]).toBe(
      '│ attention_backward_key_value f32 D16 T64 │     4 │ subgroup lanes=4 groups=2 columns=4 unroll=4 │    12.345 │',
    );
    expect(lines).toHaveLength(6);
    expect(tableAt(lines[0]!.length)).toEqual(lines);
  });

  test.each([80, 100])('on %i columns wraps its text, and keeps its numbers whole', columns => {
    const lines = tableAt(columns);
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(columns);
    expect(lines.length).toBeGreaterThan(6);
    expect(lines.join('\n')).toMatch(/│ +12\.345 │/);
    expect(lines.join('\n')).toMatch(/│ +-0\.001e-5 │/);
    for (const word of ['unroll=4', 'D16', 'then']) expect(lines.join('\n')).toContain(word);
  });

  test('that cannot fit is a list of names and values', () => {
    expect(tableAt(40)).toEqual([
      'kernel: attention_backward_key_value f32',
      '  D16 T64',
      'calls: 4',
      'fastest: subgroup lanes=4 groups=2',
      '  columns=4 unroll=4',
      'ms: 12.345',
      '',
      'fastest: then subgroup lanes=4 groups=1',
      'ms: -0.001e-5',
    ]);
  });

  test('without a head has names and values', () => {
    const at = (columns: number) => {
      const table = makeTable([], columns);
      table.push(['features', 'subgroups, timestamp-query'], ['maxBufferSize', '1073741824']);
      return table.toString().split('\n');
    };
    expect(at(80)[1]).toBe('│ features      │ subgroups, timestamp-query │');
    expect(at(32)[1]).toBe('│ features      │ subgroups, │');
    expect(at(24)).toEqual(['features: subgroups,', '  timestamp-query', 'maxBufferSize:', '  1073741824']);
  });
});

test('prose is broken between words, and a path stays whole', () => {
  expect(wrap('warning: the intervals are likely too narrow', 24)).toEqual([
    'warning: the intervals',
    '  are likely too narrow',
  ]);
  expect(wrap('kept in /home/someone/.cache/tune-4c2d.json', 20)).toEqual([
    'kept in',
    '  /home/someone/.cache/tune-4c2d.json',
  ]);
  const line = 'a line that fits';
  expect(wrap(line, Number.POSITIVE_INFINITY)).toEqual([line]);
});
