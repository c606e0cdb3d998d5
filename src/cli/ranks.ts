/** Commands that several processes of a launcher run together: one of them speaks, and a failure of one ends all. */
import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../errors.js';
import { launchOf } from '../parallel/launch.js';
import { RankError, Ranks } from '../parallel/ranks.js';
import { type CommandResult, reportError, type Terminal } from './command.js';

/** How long a rank that fails leaves rank 0 to say the same: most faults are those of all. */
const SAY_AFTER_MS = 3000;

const SILENT: Terminal = {
  json: false,
  print: () => {},
  write: () => {},
  note: () => {},
  progress: () => ({ update: () => {}, stop: () => {} }),
};

/**
 * Runs `body` with the ranks of the job that this process was started in, and with a terminal that only rank 0 has.
 * @returns its result; undefined for the other ranks.
 */
export async function withRanks(
  terminal: Terminal,
  body: (terminal: Terminal, ranks: Ranks | undefined) => Promise<CommandResult>,
): Promise<CommandResult | undefined> {
  const launch = launchOf();
  if (!launch) return body(terminal, undefined);
  const ranks = await Ranks.join(launch);
  try {
    if (ranks.isLead) {
      const hosts = new Set(ranks.hosts).size;
      terminal.note(`${ranks.size} ranks on ${hosts} ${hosts === 1 ? 'machine' : 'machines'}, by ${ranks.library}`);
    }
    const result = await body(ranks.isLead ? terminal : SILENT, ranks);
    await ranks.leave();
    return ranks.isLead ? result : undefined;
  } catch (error) {
    return failTogether(ranks, error, terminal.json);
  }
}

/** Reports the error that ends this rank, and ends all. */
async function failTogether(ranks: Ranks, error: unknown, json: boolean): Promise<never> {
  const isOwn = !(error instanceof RankError);
  if (!ranks.isLead && isOwn) await sleep(SAY_AFTER_MS);
  reportError(ranks.isLead ? error : asOf(ranks, error), json);
  const status = Number(process.exitCode ?? 1);
  ranks.abort(status);
  await sleep(SAY_AFTER_MS);
  process.exit(status); // the library did not end it
}

/** Returns the error with the rank that it happened to. */
function asOf({ rank, hosts }: Ranks, error: unknown): Error {
  const message = `rank ${rank} on '${hosts[rank]}': ${error instanceof Error ? error.message : error}`;
  return error instanceof UserError ? new UserError(message) : new Error(message, { cause: error });
}
