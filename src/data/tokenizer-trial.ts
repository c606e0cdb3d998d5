/**
 * Tries a tokenizer.json in a process of its own before it is loaded into this one: the package that reads it is native
 * code, which ends the process on some files that do not fit together.
 */
import { spawnSync } from 'node:child_process';
import { UserError } from '../errors.js';
import { packageRoot } from '../files.js';
import { sha256 } from '../hash.js';
import { isOwnBpe } from './bpe-file.js';
import { mergesOf, type TokenizerFile } from './tokenizer-file.js';

/** The seconds after which a tokenizer that is not done is given up; 256,000 tokens take about three. */
const PATIENCE = 30;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Text of several scripts, with marks, emoji and control characters, which goes through every step of a tokenizer. */
const SAMPLE = '\u0001 Hello, c1!\r\n\te\u0301 漢字 हिन्दी \u200d👍🏽  \u{10ffff}zz';

const PROGRAM = `
  import { readFileSync, writeSync } from 'node:fs';
  import { Worker } from 'node:worker_threads';
  // the parent may end before the trial does; native code lets no timer of this thread run
  const watch =
    'const parent = ' + process.ppid + ';' +
    // on Windows a process keeps the number of a parent that has ended
    'const lives = () => { try { return process.kill(parent, 0) && process.ppid === parent } catch {} };' +
    'setInterval(() => lives() || process.kill(process.pid, "SIGKILL"), 100)';
  new Worker(watch, { eval: true }).unref();
  import { Tokenizer } from 'tokenizers';
  try {
    const tokenizer = Tokenizer.fromString(readFileSync(0, 'utf8'));
    tokenizer.disableTruncation();
    tokenizer.disablePadding();
    const sample = process.argv[1];
    for (const text of ['', sample, ...sample.split(' ')]) {
      const encoding = await tokenizer.encode(text, null, { addSpecialTokens: false });
      await tokenizer.decode(encoding.getIds(), false);
    }
  } catch (error) {
    writeSync(1, String(error.message));
    process.exitCode = 1;
  }`;

/** The SHA-256 of every file that was tried in this process and can be loaded. */
const tried = new Set<string>();

/**
 * Checks that a tokenizer.json can be loaded, encodes and decodes. Files as `tokenizer train` writes them, whose merges
 * are checked here, are not tried.
 * @throws UserError saying why it cannot.
 */
export function tryTokenizer(json: string, file: TokenizerFile): void {
  checkMerges(file);
  if (isOwnBpe(file)) return;
  const hash = sha256(json);
  if (tried.has(hash)) return;
  const { status, signal, error, stdout, stderr } = withPlainSignals(() =>
    spawnSync(process.execPath, ['--input-type=module', '--eval', PROGRAM, SAMPLE], {
      cwd: packageRoot,
      input: json,
      encoding: 'utf8',
      timeout: 1000 * PATIENCE,
      killSignal: 'SIGKILL',
    }),
  );
  if (status === 0) {
    tried.add(hash);
    return;
  }
  const isLate = (error as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT';
  const panic = stderr?.split('\n').find((_, i, lines) => lines[i - 1]?.includes('panicked at'));
  const why = isLate
    ? `its reader is not done with it in ${PATIENCE} s`
    : stdout || `its reader crashes (${panic ?? error?.message ?? signal ?? stderr.trim().slice(-200)})`;
  throw new UserError(`not a tokenizer.json: ${why.replaceAll(/\s+/g, ' ').trim()}`);
}

/**
 * Runs `body`, which blocks, with signals that end the process at once, as the system does it: listeners would not run
 * before `body` is done.
 */
function withPlainSignals<Result>(body: () => Result): Result {
  const listeners = SIGNALS.map(signal => process.rawListeners(signal) as NodeJS.SignalsListener[]);
  for (const signal of SIGNALS) process.removeAllListeners(signal);
  try {
    return body();
  } finally {
    for (const [i, signal] of SIGNALS.entries()) {
      for (const listener of listeners[i]!) process.on(signal, listener);
    }
  }
}

/** Checks that merges are made of tokens, and make tokens. @throws UserError naming the first that does not. */
function checkMerges(file: TokenizerFile): void {
  const { vocab, continuing_subword_prefix: given } = file.model;
  if (Array.isArray(vocab)) return;
  const prefix = typeof given === 'string' ? given : '';
  for (const [i, merge] of mergesOf(file).entries()) {
    const [left, right] = merge;
    const refuse = (why: string) => {
      throw new UserError(`not a tokenizer.json: merge ${i + 1}, ${JSON.stringify(merge)}, ${why}`);
    };
    if (merge.length !== 2) refuse('is not of two tokens');
    if (!right.startsWith(prefix))
      refuse(`does not go on with the continuing_subword_prefix ${JSON.stringify(prefix)}`);
    const missing = [left, right, left + right.slice(prefix.length)].find(token => !Object.hasOwn(vocab, token));
    if (missing !== undefined) refuse(`needs the token ${JSON.stringify(missing)}, which is not in the vocabulary`);
  }
}
