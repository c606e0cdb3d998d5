// @ts-nocheck: it stands in for functions of many forms, of which the program calls few
/**
 * Imported before a program: it records what the program does to files below $RECORD_ROOT, in order, into
 * $RECORD_FILE. Files are told apart by numbers, since names move.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { resolve } from 'node:path';

const root = process.env.RECORD_ROOT;
const file = process.env.RECORD_FILE;
const original = { ...fs };
const open = new Map();
const operations = [];
/** Whether a function of Node is at work that calls others, which are recorded as a whole. */
let isInside = false;

const isBelow = path => typeof path === 'string' && `${resolve(path)}/`.startsWith(`${root}/`);
const note = operation => operations.push(operation);
const bytesOf = data => Buffer.from(data).toString('base64');

fs.openSync = (path, flags = 'r', ...rest) => {
  const isNew = !original.existsSync(path);
  const descriptor = original.openSync(path, flags, ...rest);
  if (isBelow(path)) {
    open.set(descriptor, resolve(path));
    if (/[wa]/.test(String(flags)) && isNew) note({ kind: 'create', path: resolve(path) });
    else if (/w/.test(String(flags))) note({ kind: 'truncate', path: resolve(path), size: 0 });
  }
  return descriptor;
};
fs.closeSync = descriptor => {
  open.delete(descriptor);
  return original.closeSync(descriptor);
};
fs.writeSync = (descriptor, bytes, offset = 0, length = bytes.length - offset, ...rest) => {
  const path = open.get(descriptor);
  const isText = typeof bytes === 'string';
  const written = isText
    ? original.writeSync(descriptor, bytes)
    : original.writeSync(descriptor, bytes, offset, length, ...rest);
  if (path) note({ kind: 'write', path, data: bytesOf(isText ? bytes : bytes.subarray(offset, offset + written)) });
  return written;
};
fs.fsyncSync = descriptor => {
  const path = open.get(descriptor);
  original.fsyncSync(descriptor);
  if (path) note({ kind: 'sync', path });
};
fs.writeFileSync = (path, data, options) => {
  if (!isBelow(path)) return original.writeFileSync(path, data, options);
  const descriptor = fs.openSync(path, options?.flag ?? 'w');
  fs.writeSync(descriptor, Buffer.from(data));
  if (options?.flush) fs.fsyncSync(descriptor);
  fs.closeSync(descriptor);
};
fs.appendFileSync = (path, data) => fs.writeFileSync(path, data, { flag: 'a' });
fs.mkdirSync = (path, options) => {
  const first = original.mkdirSync(path, options);
  if (isBelow(path)) {
    const made = options?.recursive ? first : path;
    if (made !== undefined) {
      const parts = resolve(path).slice(resolve(made).length).split('/').filter(Boolean);
      let at = resolve(made);
      note({ kind: 'mkdir', path: at });
      for (const part of parts) {
        at = `${at}/${part}`;
        note({ kind: 'mkdir', path: at });
      }
    }
  }
  return first;
};
fs.renameSync = (from, to) => {
  original.renameSync(from, to);
  if (isBelow(from)) note({ kind: 'rename', path: resolve(from), to: resolve(to) });
};
fs.rmSync = (path, options) => {
  const found = original.lstatSync(path, { throwIfNoEntry: false });
  const inIt = found?.isDirectory() ? original.readdirSync(path, { recursive: true }) : [];
  isInside = true;
  try {
    original.rmSync(path, options);
  } finally {
    isInside = false;
  }
  if (!found || !isBelow(path)) return;
  // what is in a folder goes first, file by file
  for (const name of inIt.sort().reverse()) note({ kind: 'remove', path: resolve(path, name) });
  note({ kind: 'remove', path: resolve(path) });
};
fs.truncateSync = (path, size) => {
  original.truncateSync(path, size);
  if (isBelow(path)) note({ kind: 'truncate', path: resolve(path), size });
};
for (const name of ['unlinkSync', 'copyFileSync', 'cpSync', 'linkSync', 'symlinkSync', 'ftruncateSync', 'rmdirSync']) {
  fs[name] = (...parameters) => {
    if (!isInside && isBelow(parameters[0])) throw new Error(`${name} is not recorded`);
    return original[name](...parameters);
  };
}
syncBuiltinESMExports();
process.on('exit', () => original.writeFileSync(file, JSON.stringify(operations)));
