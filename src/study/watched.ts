/** What a watched folder shows: a study, a run, or several runs. It is read again only when its files have changed. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { UserError } from '../errors.js';
import type { Section } from '../report/html.js';
import type { LivePage } from '../report/live.js';
import { reportSections } from '../report/page.js';
import { type RunRecord, readRun } from '../report/runs.js';
import { partsOf, type StudyParts, studySections, titleOfStudy } from '../report/study-page.js';
import type { StudyView } from '../report/study-view.js';
import { fitStudy } from './fits.js';
import { pointsCsv, studyPoints } from './points.js';
import { viewOfStudy } from './report.js';
import { readStudy } from './state.js';

/** The number of resamples of a fit. It is small, since they are made again whenever there are more points. */
const REPLICATES = 20;
/**
 * How long a study's page may go without being read again: when a process dies, its run's state changes but no file.
 */
const LOOK_ANYWAY_MS = 30_000;

export class WatchedFolder {
  readonly #folder: string;
  #signature = '';
  #readAt = 0;
  #page: LivePage | undefined;
  /** Fits, findings and figures, with what they were made from: progress alone changes none of them. */
  #made: { readonly of: string; readonly fits: StudyView['fits']; readonly parts: StudyParts } | undefined;

  /** Watches a folder. @throws UserError when there is no such folder. */
  constructor(folder: string) {
    if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
      throw new UserError(
        `there is no folder '${folder}' to watch; give that of a study, of a run, or of several runs`,
      );
    }
    this.#folder = folder;
  }

  /**
   * Returns the page as it is now: the same object as before when nothing has changed.
   * @throws UserError when a file is not what it should be.
   */
  async page(): Promise<LivePage> {
    const signature = signatureOf(this.#folder);
    const isStudy = existsSync(join(this.#folder, 'study.json'));
    const old = isStudy && performance.now() - this.#readAt > LOOK_ANYWAY_MS;
    if (this.#page && signature === this.#signature && !old) return this.#page;
    this.#page = isStudy ? await this.#studyPage() : runsPage(this.#folder);
    this.#signature = signature;
    this.#readAt = performance.now();
    return this.#page;
  }

  async #studyPage(): Promise<LivePage> {
    const study = await readStudy(this.#folder);
    const points = studyPoints(study);
    const done = study.runs.filter(({ state }) => state === 'done').length;
    const of = `${done} done\n${pointsCsv(points)}`;
    if (this.#made?.of !== of) {
      const fits = fitStudy(points, study.targets, REPLICATES);
      this.#made = { of, fits, parts: partsOf(viewOfStudy(study, fits, points)) };
    }
    const view = viewOfStudy(study, this.#made.fits, points);
    return { title: titleOfStudy(view), sections: studySections(view, this.#made.parts) };
  }
}

function runsPage(folder: string): LivePage {
  const isRun = (path: string) => existsSync(join(path, 'config.json')) && existsSync(join(path, 'metrics.jsonl'));
  const folders = isRun(folder) ? [folder] : subfolders(folder).filter(isRun);
  const runs = folders.map(readRun);
  const sections: Section[] =
    runs.length > 0
      ? reportSections(withOwnNames(runs))
      : [{ id: 'summary', html: '<p class="finding">Waits for a run: there is none in this folder yet.</p>' }];
  return { title: basename(resolve(folder)), sections };
}

/** Tells runs of one name apart by their folders. */
function withOwnNames(runs: readonly RunRecord[]): RunRecord[] {
  const isTwice = (name: string) => runs.filter(({ config }) => config.name === name).length > 1;
  return runs.map(run =>
    isTwice(run.config.name) ? { ...run, config: { ...run.config, name: basename(run.folder) } } : run,
  );
}

const subfolders = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { withFileTypes: true })
        .filter(entry => entry.isDirectory())
        .map(({ name }) => join(folder, name))
        .sort()
    : [];

/** Returns the sizes and times of all files that a page is made from. */
function signatureOf(folder: string): string {
  // the folder itself changes with its claim
  const ofRun = (run: string) => [run, ...['config.json', 'metrics.jsonl', 'checkpoints'].map(name => join(run, name))];
  const paths = [
    ...['study.json', 'failures'].map(name => join(folder, name)),
    ...[folder, ...subfolders(folder), ...subfolders(join(folder, 'runs'))].flatMap(ofRun),
  ];
  return paths
    .flatMap(path => {
      const found = statSync(path, { throwIfNoEntry: false });
      return found ? [`${path} ${found.size} ${found.mtimeMs}`] : [];
    })
    .join('\n');
}
