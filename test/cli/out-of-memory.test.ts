/** What a command says where its process can have no more memory. */
import { afterEach, expect, test, vi } from 'vitest';
import { reportError } from '../../src/cli/command.js';

// its types are among those of browsers
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: { Memory: new (pages: { initial: number; maximum: number }) => unknown };
};

afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

/** Returns what an allocation throws that no machine has the memory for. */
function thrownBy(allocate: () => unknown): unknown {
  try {
    allocate();
  } catch (error) {
    return error;
  }
  throw new Error('the allocation succeeded');
}

test.each([
  ['a buffer', () => new ArrayBuffer(2 ** 52)],
  ['WebAssembly', () => Array.from({ length: 100_000 }, () => new WebAssembly.Memory({ initial: 1, maximum: 65536 }))],
])('%s: one line, and status 1', (_, allocate) => {
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  reportError(thrownBy(allocate), false);
  expect(write.mock.calls.join('')).toMatch(
    /^error: this process can have no more memory \(.*allocat.*\); free some, or ask for less at once\n$/i,
  );
  expect(process.exitCode).toBe(1);
});
