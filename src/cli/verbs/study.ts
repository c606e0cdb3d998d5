/** The options of the commands of `study`. */
import { type Command, Option } from 'commander';
import { defineAction, example } from '../command.js';
import { wholeNumber } from '../numbers.js';
import { ENGINES } from '../options.js';

export function describeStudy(group: Command): void {
  const run = group
    .command('run')
    .description('start a study, or join it from another process or machine that shares its folder')
    .argument('<file>', 'YAML file of the study')
    .option('--out <folder>', "folder of the study (default: the file's out)")
    .option('--dry-run', 'print runs, FLOPs and the time expected on this adapter; start and write nothing')
    .option(
      '--adapter <name>',
      'with --dry-run: adapter, by a part of its name, its number, pci: or uuid: (runs take that of the file)',
    );
  addStartFlags(run);
  example(run, 'babelgrad study run study.yaml --dry-run');
  defineAction(run, async () => (await import('../study.js')).studyRun);

  const resume = group
    .command('resume')
    .description('go on with a study: runs that are done stay, those that failed are tried again')
    .argument('<folder>', 'folder of the study')
    .option('--run <name>', 'this run alone, once its source is done');
  addStartFlags(resume);
  example(resume, 'babelgrad study resume runs/study --jobs 2');
  defineAction(resume, async () => (await import('../study.js')).studyResume);

  const status = group
    .command('status')
    .description('how far every run of a study is')
    .argument('<folder>', 'folder of the study');
  example(status, 'babelgrad study status runs/study');
  defineAction(status, async () => (await import('../study.js')).studyStatus);

  const cancel = group
    .command('cancel')
    .description("cancel a study's jobs in Slurm; runs that have begun end with a checkpoint")
    .argument('<folder>', 'folder of the study');
  example(cancel, 'babelgrad study cancel runs/study');
  defineAction(cancel, async () => (await import('../study.js')).studyCancel);

  addReport(group);
}

/** Adds the flags that say where runs are run. */
const addStartFlags = (command: Command): Command =>
  command
    .addOption(
      new Option('--engine <name>', 'local: processes of this machine; slurm: job arrays of the cluster')
        .choices(ENGINES)
        .default('local'),
    )
    .option('--jobs <count>', 'local: runs at a time (default: 1)', wholeNumber(1));

function addReport(group: Command): void {
  const command = group
    .command('report')
    .description('a page with figures and fits of a study, finished or not')
    .argument('[dir]', "the study's folder")
    .option('--points <file>', 'points.csv of a study, in place of its folder')
    .option('--out <folder>', 'where the report goes (default: report in the folder; with --points beside that file)')
    .option('--bootstrap <count>', 'resamples for the intervals of the fits; 0: none', wholeNumber(0), 200);
  example(command, 'babelgrad study report runs/study');
  defineAction(command, async () => (await import('../study-report.js')).studyReport);
}
