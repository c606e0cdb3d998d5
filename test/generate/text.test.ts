/** Streams are the decoded text, cut at whole characters and at stop strings. */
import { describe, expect, test } from 'vitest';
import { type Decode, TextStream } from '../../src/generate/text.js';
import { Random } from '../../src/random.js';

/** A token is a byte, as in the worst of a byte-level BPE. */
const bytes: Decode = async ids => Buffer.from(ids).toString('utf8');
const tokensOf = (text: string): number[] => [...Buffer.from(text)];

async function stream(
  decode: Decode,
  prompt: readonly number[],
  ids: readonly number[],
  stops: readonly string[] = [],
) {
  const text = await TextStream.create(decode, prompt, stops);
  const pieces: string[] = [];
  for (const id of ids) {
    const { text: piece, stopped } = await text.push(id);
    pieces.push(piece);
    if (stopped) return { pieces, stopped };
  }
  return { pieces: [...pieces, text.end()], stopped: false };
}

describe('characters of several tokens', () => {
  test('come when they are whole', async () => {
    const { pieces } = await stream(bytes, tokensOf('a'), tokensOf('bé€😀!'));
    expect(pieces).toEqual(['b', '', 'é', '', '', '€', '', '', '', '😀', '!', '']);
  });

  test('one that is left unfinished is dropped', async () => {
    const { pieces } = await stream(bytes, [], tokensOf('x€').slice(0, -1));
    expect(pieces.join('')).toBe('x');
  });

  test('bytes that are no character show as such once it is clear', async () => {
    const { pieces } = await stream(bytes, [], [0x80, 0x61, 0xff, 0xff, 0x62]);
    expect(pieces.join('')).toBe('\uFFFDa\uFFFD\uFFFDb');
  });

  test('any text comes through whole', async () => {
    const random = new Random(3);
    const alphabet = [...'ab é€😀中\n'];
    for (let i = 0; i < 50; i++) {
      const text = Array.from({ length: 30 }, () => alphabet[random.integer(alphabet.length)]).join('');
      const { pieces } = await stream(bytes, tokensOf('é'), tokensOf(text));
      expect(pieces.join('')).toBe(text);
    }
  });
});

test('a decoder that drops the space in front of a text drops none within it', async () => {
  const words = [' one', ' two', ' three'];
  const decode: Decode = async ids =>
    ids
      .map(id => words[id])
      .join('')
      .trimStart();
  const { pieces } = await stream(decode, [0], [1, 2, 0, 1]);
  expect(pieces.join('')).toBe(' two three one two');
});

describe('stop strings', () => {
  test('end the text in front of them, across tokens', async () => {
    expect(await stream(bytes, [], tokensOf('one.\n\ntwo'), ['\n\n'])).toEqual({
      pieces: ['o', 'n', 'e', '.', '', ''],
      stopped: true,
    });
  });

  test('what only begins like one is shown once it is clear, or at the end', async () => {
    const { pieces, stopped } = await stream(bytes, [], tokensOf('aSTxSTOaST'), ['STOP']);
    expect(stopped).toBe(false);
    expect(pieces).toEqual(['a', '', '', 'STx', '', '', '', 'STOa', '', '', 'ST']);
  });

  test('one that begins again within itself', async () => {
    expect((await stream(bytes, [], tokensOf('ababac!'), ['abac'])).pieces.join('')).toBe('ab');
  });

  test('the first of several, wherever it is in a token', async () => {
    const decode: Decode = async ids => ids.map(id => ['a', 'x;y.z', 'b'][id]).join('');
    const { pieces, stopped } = await stream(decode, [0], [2, 1], ['.', ';']);
    expect(pieces).toEqual(['b', 'x']);
    expect(stopped).toBe(true);
  });

  test('those of the prompt do not count', async () => {
    expect((await stream(bytes, tokensOf('a.b'), tokensOf('cd'), ['.', 'bc'])).pieces.join('')).toBe('cd');
  });
});
