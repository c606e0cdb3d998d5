/**
 * Changed files of every format that is read: each is read, or refused by a UserError of one line, in bounded time and
 * memory. An input follows from the seed, its format and its number; one that is not survived is kept, and named.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { messageOf, UserError } from '../../src/errors.js';
import { Random } from '../../src/random.js';
import type { Format } from './formats/format.js';
import { FORMATS } from './formats.js';
import { watchdog } from './watchdog.js';

const isLong = process.env.BABELGRAD_FAULTS === 'long';
const seed = Number(process.env.BABELGRAD_FAULTS_SEED ?? (isLong ? Date.now() % 1e6 : 1));
const TIMES = isLong ? 20 : 1;
/** The seconds that one input may take: most take less than a thousandth of it. */
const SECONDS = 20;
/** What the process may grow by. Readers hold a file that they read at once several times over. */
const MOST_GROWTH = 2 ** 30;

// in memory where there is such a folder: every input is a file
const root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'babelgrad-fuzz-'));
const kept = join(tmpdir(), 'babelgrad-faults');
const place = join(root, 'place');
const dog = watchdog(SECONDS * 3, join(root, 'now'));
afterAll(async () => {
  await dog.stop();
  rmSync(root, { recursive: true });
});

process.stdout.write(
  `seed ${seed} (BABELGRAD_FAULTS_SEED), ${TIMES * FORMATS.reduce((sum, { inputs }) => sum + inputs, 0)} inputs\n`,
);

test.each(FORMATS)('$name', async format => {
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place);
  format.prepare?.(place);
  const around = [readdirSync(root), readdirSync(process.cwd())];
  const before = process.memoryUsage().rss;
  const found = { read: 0, refused: 0 };
  for (let number = 0; number < TIMES * format.inputs; number++) {
    const bytes = format.mutate(format.whole, new Random(seed, format.name, number));
    if (number % 50 === 0) writeFileSync(join(root, 'now'), `${format.name}, seed ${seed}, inputs from ${number} on`);
    dog.beat();
    const begun = performance.now();
    const fault = await faultOf(format, bytes);
    const seconds = (performance.now() - begun) / 1000;
    const growth = number % 20 === 0 ? process.memoryUsage().rss - before : 0;
    const why =
      fault ?? (seconds > SECONDS ? `${seconds} s` : growth > MOST_GROWTH ? `${growth} bytes more memory` : undefined);
    if (why instanceof UserError) found.refused++;
    else if (why === undefined) found.read++;
    else
      throw new Error(
        `${format.name}, input ${number} of seed ${seed}, kept as ${keep(format, number, bytes)}: ${why}`,
      );
  }
  expect([readdirSync(root).filter(name => name !== 'now'), readdirSync(process.cwd())]).toEqual([
    around[0]!.filter(name => name !== 'now'),
    around[1],
  ]);
  rmSync(place, { recursive: true });
  // changes that were all refused, or all read, would not reach what lies behind the first check
  expect(Math.min(found.read, found.refused), JSON.stringify(found)).toBeGreaterThan(format.inputs / 500);
});

/** Reads an input. @returns the UserError that refuses it, what is wrong, or undefined where it was read. */
async function faultOf({ file, read }: Format, bytes: Buffer): Promise<UserError | string | undefined> {
  const path = join(place, file);
  writeFileSync(path, bytes);
  try {
    await read(path, place);
    return undefined;
  } catch (error) {
    if (!(error instanceof UserError)) return error instanceof Error ? `${error.stack}` : messageOf(error);
    if (error.message.includes('\n')) return `a message of several lines: ${error.message}`;
    return error.message.length > 20_000 ? `a message of ${error.message.length} characters` : error;
  }
}

function keep({ name, file }: Format, number: number, bytes: Buffer): string {
  mkdirSync(kept, { recursive: true });
  const path = join(kept, `${name.replaceAll(/\W+/g, '-')}-${seed}-${number}-${file}`);
  writeFileSync(path, bytes);
  return path;
}
