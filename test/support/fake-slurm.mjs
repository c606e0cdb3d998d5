/**
 * Stands for Slurm's commands: `node fake-slurm.mjs COMMAND ARGUMENT ...`. The folder $FAKE_SLURM has its state:
 * tasks.json, the calls of sbatch, and in `fate` how the next sbatch goes.
 */
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const folder = process.env.FAKE_SLURM ?? '';
const [command, ...parameters] = process.argv.slice(2);
const fileOf = name => join(folder, name);
const read = (name, otherwise) =>
  existsSync(fileOf(name)) ? JSON.parse(readFileSync(fileOf(name), 'utf8')) : otherwise;
const write = (name, value) => writeFileSync(fileOf(name), JSON.stringify(value));
const log = line => appendFileSync(fileOf('log'), `${line}\n`);
const optionOf = option => parameters.find(text => text.startsWith(`--${option}=`))?.slice(option.length + 3) ?? '';
const fail = text => {
  process.stderr.write(`${text}\n`);
  process.exit(1);
};

const commands = {
  sbatch() {
    const script = parameters.at(-1) ?? '';
    const intent = JSON.parse(readFileSync(join(dirname(script), 'submission.json'), 'utf8'));
    const fate = read('fate', '');
    rmSync(fileOf('fate'), { force: true });
    if (fate === 'refuse') fail('sbatch: error: invalid partition specified: nowhere');
    if (fate === 'die before') process.kill(process.ppid, 'SIGKILL');
    if (fate === 'die before') return;
    const tasks = read('tasks.json', []);
    const job = 1 + Math.max(0, ...tasks.map(task => task.job));
    const last = Number(/^0-(\d+)/.exec(optionOf('array'))?.[1]);
    const name = optionOf('job-name');
    const state = 'PENDING';
    const reason = optionOf('dependency') ? 'Dependency' : 'Priority';
    for (let index = 0; index <= last; index++) tasks.push({ name, job, index, state, reason });
    write('tasks.json', tasks);
    write('calls.json', [...read('calls.json', []), { parameters, intent }]);
    if (fate === 'die after') process.kill(process.ppid, 'SIGKILL');
    else if (fate === 'lose the answer') fail('sbatch: error: Batch job submission failed: Socket timed out');
    else process.stdout.write(`${job}\n`);
  },
  squeue() {
    if (read('fate', '') === 'away') fail('slurm_load_jobs error: Unable to contact slurm controller');
    const names = optionOf('name').split(',');
    for (const { name, job, index, state, reason } of read('tasks.json', [])) {
      if (names.includes(name)) process.stdout.write(`${[name, job, index, state, reason].join('|')}\n`);
    }
  },
  sacct() {
    const accounted = read('accounted.json', undefined);
    if (!accounted) fail('Slurm accounting storage is disabled');
    for (const line of accounted) process.stdout.write(`${line}\n`);
  },
  scontrol() {
    if (parameters[1] === 'config') process.stdout.write(`MaxArraySize            = ${read('most', 1001)}\n`);
    else if (parameters[0] === 'show') process.stdout.write(`   PreemptTime=${read('preempted', 'None')}\n`);
    else log(`scontrol ${parameters.join(' ')}`);
  },
  scancel() {
    log(`scancel ${parameters.join(' ')}`);
    if (optionOf('signal')) return process.kill(read('step', 0), 'SIGTERM');
    const isCancelled = ({ job }) => parameters.includes(String(job));
    write(
      'tasks.json',
      read('tasks.json', []).map(task => (isCancelled(task) ? { ...task, state: 'CANCELLED' } : task)),
    );
  },
};
commands[command]();
