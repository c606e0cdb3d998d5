/** Runs side by side, for the terminal. */
import { findingsOf, milestones } from '../report/findings.js';
import { short } from '../report/numbers.js';
import { languagesOf, lossIn, type RunRecord, SHORT_UNITS, unitOf, withAverages } from '../report/runs.js';
import { makeTable } from './table.js';

/** Returns the held-out losses along the way, and what CPT saved. */
export function comparisonTable(runs: readonly RunRecord[]): string {
  const languages = languagesOf(runs);
  const unit = unitOf(runs);
  const table = makeTable(['run', 'tokens', 'FLOPs', ...languages.map(language => `${language} ${SHORT_UNITS[unit]}`)]);
  for (const run of withAverages(runs)) {
    milestones(run, 6).forEach(({ tokens, flops, heldOut }, i) => {
      const losses = languages.map(language => lossIn(heldOut, language, unit)?.toFixed(3) ?? '');
      table.push([i === 0 ? run.config.name : '', short(tokens), short(flops), ...losses]);
    });
  }
  return [table.toString(), ...findingsOf(runs)].join('\n');
}
