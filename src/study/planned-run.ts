/** A run of a study, before it is started. */
import { join } from 'node:path';
import { checkedFileName } from '../paths.js';
import type { RunConfig } from '../run/config.js';
import type { Strategy } from './file.js';
import type { ReplayAccount } from './replay.js';

/** A run of a study, before it is started. */
export interface PlannedRun {
  /** The name of the run, and of its folder below `runs` in the study's folder. */
  readonly name: string;
  readonly size: string;
  readonly strategy: Strategy;
  /** The language that the run is trained in; for a source run, the source language. */
  readonly language: string;
  /** The share of source-language tokens, 0 to 1; the mean share where replay is in stages. */
  readonly replay: number;
  /** How replay is paid for, if the run has any. */
  readonly account?: ReplayAccount;
  /** The rank of the adapters of a LoRA run. */
  readonly rank?: number;
  /** The tokens per parameter of the source's end that CPT starts from, where it is not the last. */
  readonly sourceEnd?: number;
  readonly seed: number;
  readonly config: RunConfig;
  /** The line that the run is a part of, in a study with `ends`. */
  readonly part?: LinePart;
  /** Where a run starts that does not start from random weights: the run that it waits for, or a model folder. */
  readonly from?: { readonly run: string } | { readonly folder: string };
}

/**
 * A part of a line of runs, which is what one run is in a study without `ends`: a piece of its trunk, or the end that
 * branches off when the piece before it is done. LoRA has ends alone, each a run from the source. `tokensPerParameter`
 * counts from the start of the line.
 */
export interface LinePart {
  /** The name that the one run would have. */
  readonly line: string;
  readonly kind: 'trunk' | 'end';
  readonly tokensPerParameter: number;
}

/** Whether a part is the end of a line after so many tokens per parameter. */
export const isEnd = (part: LinePart | undefined, tokensPerParameter: number): boolean =>
  part?.kind === 'end' && part.tokensPerParameter === tokensPerParameter;

/** The name of a run, or of the line that it is a part of. */
export const lineOf = ({ name, part }: Pick<PlannedRun, 'name' | 'part'>): string => part?.line ?? name;

/** Returns the folder of a run. @throws UserError when its name, in which its language is, cannot be a file's. */
export const runFolder = (study: string, run: string): string =>
  join(study, 'runs', checkedFileName(run, 'a run of the study named'));
