/**
 * Holds back what Dawn itself warns of when it looks at an adapter: limits that it lowers, the same lines for each
 * adapter and each time, about which a user can do nothing.
 */
import { requireNative } from '../natives.js';

const STDERR = 2;
const WARNING = /^Warning: .*\n?/gm;
/** What SwiftShader says when Mesa's device-select layer asks it for a PCI address. */
const NO_PLACE = /^.*swiftshader.* WARNING: UNSUPPORTED: pProperties->pNext sType = 1000212000\n?/gm;

/** The functions of the C library by which what is written to stderr goes into memory for a while. */
interface Libc {
  memfd_create(name: string, flags: number): number;
  dup(file: number): number;
  dup2(file: number, as: number): number;
  lseek(file: number, offset: number, whence: number): number;
  read(file: number, into: Uint8Array, bytes: number): number;
  close(file: number): number;
}

/**
 * Runs `body`, and then writes what was written to stderr meanwhile, but for Dawn's warnings. With BABELGRAD_DEBUG,
 * and on machines without Linux's C library, `body` alone is run.
 */
export function withoutWarnings<Result>(body: () => Result): Result {
  const libc = process.env.BABELGRAD_DEBUG ? undefined : loadLibc();
  const held = libc?.memfd_create('babelgrad-stderr', 0) ?? -1;
  if (!libc || held < 0) return body();
  const stderr = libc.dup(STDERR);
  libc.dup2(held, STDERR);
  try {
    return body();
  } finally {
    libc.dup2(stderr, STDERR);
    libc.close(stderr);
    const text = readAll(libc, held).replace(WARNING, '').replace(NO_PLACE, '');
    libc.close(held);
    if (text !== '') process.stderr.write(text);
  }
}

function readAll(libc: Libc, file: number): string {
  const bytes = new Uint8Array(libc.lseek(file, 0, 2));
  libc.lseek(file, 0, 0);
  return new TextDecoder().decode(bytes.subarray(0, libc.read(file, bytes, bytes.length)));
}

let loaded: Libc | undefined;

function loadLibc(): Libc | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    loaded ??= bindLibc();
    return loaded;
  } catch {
    return undefined; // no koffi, or another C library: warnings come through
  }
}

function bindLibc(): Libc {
  const library = requireNative<typeof import('koffi')>('koffi').load('libc.so.6');
  return {
    memfd_create: library.func('int memfd_create(const char *name, unsigned int flags)'),
    dup: library.func('int dup(int file)'),
    dup2: library.func('int dup2(int file, int as)'),
    lseek: library.func('int64_t lseek(int file, int64_t offset, int whence)'),
    read: library.func('int64_t read(int file, _Out_ uint8_t *into, size_t bytes)'),
    close: library.func('int close(int file)'),
  };
}
