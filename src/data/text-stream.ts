/** The text of a file as a stream of strings: decompressed, checked to be UTF-8, in chunks of some ten kilobytes. */
import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';
import { messageOf, UserError } from '../errors.js';

/**
 * Yields the text of `path`, without a byte order mark.
 * @throws UserError when the file is empty, damaged, or not UTF-8 (near which byte of the decompressed text).
 */
export async function* readText(path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let bytes = 0;
  const decode = (chunk?: Uint8Array) => {
    try {
      return decoder.decode(chunk, { stream: chunk !== undefined });
    } catch {
      throw new UserError(`'${path}' is not UTF-8 near byte ${bytes}; convert it first (for instance with iconv)`);
    }
  };
  for await (const chunk of readBytes(path)) {
    const text = decode(chunk);
    bytes += chunk.length;
    if (text) yield text;
  }
  const rest = decode();
  if (rest) yield rest;
  if (bytes === 0) throw new UserError(`'${path}' is empty`);
}

async function* readBytes(path: string): AsyncGenerator<Uint8Array> {
  const file = createReadStream(path);
  try {
    if (path.endsWith('.gz')) yield* file.pipe(createGunzip().on('close', () => file.destroy()));
    else if (path.endsWith('.zst')) yield* decompressZstd(file);
    else yield* file;
  } catch (error) {
    throw new UserError(`'${path}' cannot be read: ${messageOf(error)}`);
  } finally {
    file.destroy();
  }
}

async function* decompressZstd(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let ready: Uint8Array[] = [];
  const decompress = new Decompress(chunk => {
    ready.push(chunk.slice()); // the library goes on writing into its window
  });
  let fed = 0;
  for await (const chunk of chunks) {
    fed += chunk.length;
    decompress.push(chunk);
    yield* ready;
    ready = [];
  }
  if (fed > 0) decompress.push(new Uint8Array(), true);
  yield* ready;
}
