// Runs the blocks of README and docs that are marked as runnable, in a scratch folder.
//
//   node tools/run-docs.mjs                   all of them, the README's first: the others take what it makes
//   node tools/run-docs.mjs docs/scaling.md   the README's, where the file needs it (--alone: not), and that file's
//   node tools/run-docs.mjs --list            what would run, and what would not, and why
//   node tools/run-docs.mjs --keep            leaves the folder, and names it
//
// It runs dist/, so build first. BABELGRAD_ADAPTER chooses the adapter, as everywhere. Exit status 1 if a block failed.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { blocksOf, files } from './docs/blocks.mjs';

const root = resolve(import.meta.dirname, '..');
/** What commands name by a path in the checkout. */
const LINKED = ['docs', 'src', 'studies', 'test', 'tools'];
/** A block that takes longer has gone wrong. */
const LIMIT_MS = 40 * 60_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    list: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    alone: { type: 'boolean', default: false },
  },
});
const known = files(root);
const unknown = positionals.find(file => !known.includes(file));
if (unknown !== undefined) {
  console.error(`'${unknown}' is none of ${known.join(', ')}`);
  process.exit(2);
}
const main = join(root, 'dist/src/cli/main.js');
if (!existsSync(main)) {
  console.error(`there is no '${main}': run 'npm run build' first`);
  process.exit(2);
}
const named = positionals.length === 0 ? known : values.alone ? positionals : ['README.md', ...positionals];
const blocks = [...new Set(named)].flatMap(file => blocksOf(root, file));

// npx would ask the registry for a package that is not in the scratch folder
const HEAD = `set -e
npx() { [ "$1" = babelgrad ] && shift && node ${JSON.stringify(main)} "$@"; }
`;

/** Runs a block. @returns why it failed, if it did */
function failureOf(code, cwd) {
  const options = { cwd, timeout: LIMIT_MS, maxBuffer: 2 ** 28 };
  const { status, signal, stderr } = spawnSync('bash', ['-c', HEAD + code], options);
  if (status === 0) return undefined;
  const last = String(stderr).trim().split('\n').at(-1);
  return `${signal ?? `status ${status}`}: ${last}`;
}

const scratch = mkdtempSync(join(tmpdir(), 'babelgrad-run-docs-'));
for (const folder of LINKED) symlinkSync(join(root, folder), join(scratch, folder));
const counts = { ran: 0, failed: 0, skipped: 0 };
for (const { file, line, mark, code } of blocks) {
  const place = `${file}:${line}`;
  if (mark !== 'runnable') {
    counts.skipped++;
    console.log(`skipped  ${place}  ${mark}`);
  } else if (values.list) {
    console.log(`runnable ${place}`);
  } else {
    const started = performance.now();
    const failure = failureOf(code, scratch);
    const seconds = Math.round((performance.now() - started) / 1000);
    counts[failure === undefined ? 'ran' : 'failed']++;
    console.log(
      `${failure === undefined ? 'ran     ' : 'FAILED  '} ${place}  ${seconds} s${failure ? `  ${failure}` : ''}`,
    );
  }
}
if (values.keep) console.log(`left in ${scratch}`);
else rmSync(scratch, { recursive: true });
if (!values.list) console.log(`${counts.ran} ran, ${counts.failed} failed, ${counts.skipped} were left out`);
process.exitCode = counts.failed > 0 ? 1 : 0;
