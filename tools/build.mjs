/**
 * Compiles the project into dist/, file by file: what has not changed is left alone, and what has is put in its place
 * by a rename, so that commands that are running never read half a file. With --if-stale it does nothing where no
 * source is newer than the last build: npm calls it so whenever it links the checkout.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const [dist, fresh] = [join(root, 'dist'), join(root, `.dist-${process.pid}`)];
/** Written last, so that a build that was cut short is no build. */
const STAMP = join(dist, '.built');
const SOURCES = ['src', 'bench', 'package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json'];

/** What package.json offers as commands. */
const BINS = Object.values(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).bin);

/** The files below a folder, or a file itself. */
function filesOf(path) {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath ?? entry.path, entry.name));
}

/** The names of all sources: one that was removed makes a build stale too. */
const sources = SOURCES.map(name => join(root, name))
  .flatMap(filesOf)
  .sort();
const names = sources.map(path => path.slice(root.length)).join('\n');

function isStale() {
  if (!existsSync(STAMP) || readFileSync(STAMP, 'utf8') !== names) return true;
  const built = statSync(STAMP).mtimeMs;
  return sources.some(path => statSync(path).mtimeMs > built);
}

if (!process.argv.includes('--if-stale') || isStale()) {
  const started = new Date();
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const parameters = [compiler, '-p', join(root, 'tsconfig.build.json'), '--outDir', fresh];
  try {
    const { status } = spawnSync(process.execPath, parameters, { stdio: 'inherit' });
    if (status === 0) install(started);
    else process.exitCode = 1;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

function install(started) {
  cpSync(join(root, 'bench/peers/torch_cuda.py'), join(fresh, 'bench/peers/torch_cuda.py'));
  const made = filesOf(fresh).map(path => path.slice(fresh.length + 1));
  for (const name of made) {
    const [from, to] = [join(fresh, name), join(dist, name)];
    if (existsSync(to) && readFileSync(from).equals(readFileSync(to))) continue;
    mkdirSync(dirname(to), { recursive: true });
    renameSync(from, to);
  }
  for (const bin of BINS) chmodSync(join(root, bin), 0o755); // npx links to them, and does not make them executable
  const kept = new Set(made);
  for (const path of filesOf(dist)) if (!kept.has(path.slice(dist.length + 1)) && path !== STAMP) rmSync(path);
  writeFileSync(STAMP, names);
  // what was edited while it was compiled is newer than the build
  utimesSync(STAMP, started, started);
}
