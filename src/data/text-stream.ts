/**
 * Reads the text of a file as a stream of strings: decompressed, checked to be UTF-8, in chunks of some ten kilobytes.
 */
import { createReadStream, statSync } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';
import { messageOf, UserError } from '../errors.js';
import { checkRegularFile } from '../input-files.js';

/** What a compressed file may expand to: this many bytes, and then this many times its own size. */
const FREE_BYTES = 2 ** 26;
const MOST_EXPANSION = 200;

/** Is told how many more bytes of a file, as it is stored, were read. */
export type OnRead = (bytes: number) => void;

/**
 * Yields the text of `path`, without a byte order mark.
 * @throws UserError when the file is missing, empty, cut off or damaged, or not UTF-8 (at which byte of the text),
 * or expands to more than 64 MiB and 200 times its size.
 */
export async function* readText(path: string, onRead?: OnRead): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let bytes = 0;
  const decode = (chunk?: Uint8Array) => {
    try {
      return decoder.decode(chunk, { stream: chunk !== undefined });
    } catch {
      const at = bytes + (chunk ? firstBadByte(chunk) : 0);
      throw new UserError(`'${path}' is not UTF-8 near byte ${at}; convert it first (for instance with iconv)`);
    }
  };
  for await (const chunk of readBytes(path, onRead)) {
    const text = decode(chunk);
    bytes += chunk.length;
    if (text) yield text;
  }
  const rest = decode();
  if (rest) yield rest;
  if (bytes === 0) throw new UserError(`'${path}' is empty`);
}

/** Returns the place of the fault in a chunk that could not be decoded; 0 when it began in the chunk before. */
function firstBadByte(chunk: Uint8Array): number {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  // up to three bytes may end a character of the chunk before
  let start = 0;
  while (start < 3 && (chunk[start]! & 0xc0) === 0x80) start++;
  for (let i = start; i < chunk.length; i++) {
    try {
      decoder.decode(chunk.subarray(i, i + 1), { stream: true });
    } catch {
      return i;
    }
  }
  return 0;
}

async function* readBytes(path: string, onRead?: OnRead): AsyncGenerator<Uint8Array> {
  checkRegularFile(path);
  if (statSync(path).size === 0) return; // not a valid .gz, but 'empty' says more than 'unexpected end'
  let storedBytes = 0;
  const stored = readStored(path, bytes => {
    storedBytes += bytes;
    onRead?.(bytes);
  });
  if (!/\.(gz|zst)$/.test(path)) return yield* stored;
  let expandedBytes = 0;
  const countExpanded = (bytes: number) => {
    expandedBytes += bytes;
    if (expandedBytes <= Math.max(FREE_BYTES, MOST_EXPANSION * storedBytes)) return;
    throw new UserError(
      `'${path}' expands to more than ${MOST_EXPANSION} times its size, which no text does; if it is one, ` +
        'decompress it first',
    );
  };
  try {
    // `pipeline` hands an error of the file on to the stream that is read; its callback has nothing to add
    if (path.endsWith('.gz')) {
      for await (const chunk of pipeline(stored, createGunzip(), () => {}) as AsyncIterable<Uint8Array>) {
        countExpanded(chunk.length);
        yield chunk;
      }
    } else yield* decompressZstd(stored, countExpanded);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      `'${path}' cannot be decompressed (${messageOf(error)}); it is cut off or damaged, fetch it again`,
    );
  }
}

async function* readStored(path: string, onRead?: OnRead): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      onRead?.(chunk.length);
      yield chunk;
    }
  } catch (error) {
    throw new UserError(`'${path}' cannot be read: ${messageOf(error)}`);
  }
}

async function* decompressZstd(
  chunks: AsyncIterable<Uint8Array>,
  onExpanded: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let ready: Uint8Array[] = [];
  const decompress = new Decompress(chunk => {
    onExpanded(chunk.length); // a few bytes may stand for gigabytes, all in one push
    ready.push(chunk.slice()); // the library goes on writing into its window
  });
  for await (const chunk of chunks) {
    decompress.push(chunk);
    yield* ready;
    ready = [];
  }
  decompress.push(new Uint8Array(), true); // throws when a frame is not complete
  yield* ready;
}
