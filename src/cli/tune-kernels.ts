/** The command `tune kernels`: finds the fastest kernel variants of a training step, and explains the choice. */
import { UserError } from '../errors.js';
import { cacheFolder } from '../files.js';
import { type AdapterDescription, chooseAdapter, readYaml } from '../index.js';
import { percent } from '../report/numbers.js';
import { MODEL_FIELDS, parseFields } from '../run/config.js';
import { stepShape } from '../run/step-shape.js';
import { tuneRequests } from '../run/variants.js';
import { dryStep } from '../train/dry-step.js';
import { cachePath, readCache } from '../tune/cache.js';
import { sameVariant, showVariant } from '../tune/candidates.js';
import type { Variant } from '../tune/kind.js';
import type { Outcome, Tuned } from '../tune/tune.js';
import type { CommandResult, Terminal } from './command.js';
import { withFlags } from './field-flags.js';
import { interruptible } from './interruption.js';
import { makeTable } from './table.js';

interface TuneCommandOptions extends Record<string, unknown> {
  readonly config?: string;
  readonly seconds: number;
  readonly adapter?: string;
  readonly show?: boolean;
}

/** The command `tune kernels`. */
export async function tune(terminal: Terminal, options: TuneCommandOptions): Promise<CommandResult> {
  const { config: file, seconds, adapter: _, show = false, json: __, ...flags } = options;
  const given = withFlags(file === undefined ? {} : readYaml(file), flags);
  const fields = parseFields(given, `'${file}'`); // flags have no fault any more
  const hasModel = MODEL_FIELDS.some(field => fields[field] !== undefined);
  if (!hasModel && !show) {
    throw new UserError(
      'there is nothing to tune for: give a model, for instance --preset small, or --config with the file of a run',
    );
  }
  const adapter = (await chooseAdapter(options.adapter ?? fields.adapter)).choice.chosen;
  const shape = hasModel ? stepShape(fields, adapter) : undefined;
  const requests = shape && [...dryStep(adapter, shape).variants.requests.values()];
  const folder = cacheFolder();
  if (requests && !show) {
    terminal.note(`${requests.length} kernels on ${adapter.name} (${adapter.driver}), for ${seconds} s at most`);
    const progress = terminal.progress('tuning kernels', seconds, 'seconds');
    const { note } = await interruptible(
      () => {},
      signal =>
        tuneRequests(adapter, folder, requests, {
          seconds,
          signal,
          onProgress: (done, key) => progress.update(Math.round(10 * done) / 10, key),
        }),
    ).finally(() => progress.stop());
    if (note) terminal.note(note);
  }
  const cache = readCache(folder, adapter);
  if (show && cache.note) terminal.note(cache.note);
  const keys = requests?.map(({ key }) => key) ?? [...cache.entries.keys()];
  const entries = keys.flatMap(key => cache.entries.get(key) ?? []);
  const missing = keys.filter(key => !cache.entries.has(key));
  if (entries.length === 0) throw new UserError(nothingTuned(adapter, show));
  showEntries(terminal, entries);
  if (missing.length > 0) {
    terminal.print(`not tuned, the shipped variant is taken: ${missing.join(', ')}. More --seconds reach more.`);
  }
  terminal.print(`kept in ${cache.path}`);
  return { adapter: adapter.name, driver: adapter.driver, path: cachePath(folder, adapter), entries, missing };
}

const nothingTuned = ({ name }: AdapterDescription, show: boolean): string =>
  show
    ? `nothing that still holds has been tuned for '${name}'; run 'babelgrad tune kernels' with a model first`
    : `no kernel could be tuned on '${name}' in this time; give more --seconds`;

const RUNNERS_UP = 2;

function showEntries(terminal: Terminal, entries: readonly Tuned[]): void {
  const table = makeTable(['kernel', 'calls', 'fastest', 'ms', 'shipped', 'ms', 'gain', 'not timed']);
  let [before, after] = [0, 0];
  for (const { request, winner, shipped, outcomes } of entries) {
    const timed = outcomes.filter(one => one.state === 'timed');
    const msOf = (variant: Variant) => timed.find(one => sameVariant(one.variant, variant))?.milliseconds;
    const [won, was] = [msOf(winner)!, msOf(shipped)];
    const isShipped = sameVariant(winner, shipped);
    before += request.calls * (was ?? won);
    after += request.calls * won;
    table.push([
      request.key,
      request.calls,
      isShipped ? 'shipped' : showVariant(winner),
      won.toFixed(3),
      showVariant(shipped),
      was?.toFixed(3) ?? '',
      isShipped || was === undefined ? '' : percent(was / won - 1),
      notTimed(outcomes),
    ]);
    const others = timed.filter(one => !sameVariant(one.variant, winner)).slice(0, RUNNERS_UP);
    for (const { variant, milliseconds } of others) {
      table.push(['', '', `  then ${showVariant(variant)}`, milliseconds.toFixed(3), '', '', '', '']);
    }
  }
  terminal.print(table.toString());
  for (const reason of reasons(entries)) terminal.print(reason);
  terminal.print(
    `these kernels of a micro-batch and an evaluation: ${before.toFixed(1)} ms as shipped, ` +
      `${after.toFixed(1)} ms as tuned`,
  );
}

function notTimed(outcomes: readonly Outcome[]): string {
  const of = (state: Outcome['state']) => outcomes.filter(one => one.state === state).length;
  const counts = { refused: of('refused'), wrong: of('wrong'), untried: of('untried') };
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state}`)
    .join(', ');
}

/** Says why candidates were not timed, each reason once. */
function reasons(entries: readonly Tuned[]): string[] {
  const counts = new Map<string, number>();
  for (const { outcomes } of entries) {
    for (const one of outcomes) {
      if (one.state !== 'refused' && one.state !== 'wrong') continue;
      const text = `${one.state}: ${one.reason}`;
      counts.set(text, (counts.get(text) ?? 0) + 1);
    }
  }
  return [...counts].map(([text, count]) => `${count} ${text}`);
}
