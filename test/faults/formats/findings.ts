/** What was tuned, audited and kept. */
import { readProblem } from '../../../src/audit/replay.js';
import { AUDIT_FORMAT, readAudit } from '../../../src/audit/report.js';
import { UserError } from '../../../src/errors.js';
import { isOpFile, readOp } from '../../../src/train/recorded-op.js';
import { cachePath, readCache, writeCache } from '../../../src/tune/cache.js';
import { adapter, requestsOf, tunedFrom } from '../../support/tuned.js';
import { mutateHeader, mutateJson } from '../mutate.js';
import { type Format, fileOf, sound, text } from './format.js';

writeCache(sound, adapter, requestsOf().map(tunedFrom));
const cacheFile = cachePath('', adapter);
const CHECK = {
  kernel: 'k',
  variant: 'v',
  shape: '4',
  inputClass: 'c',
  metric: 'error',
  value: 0.5,
  bound: 1,
  passed: true,
};
const AUDIT = {
  format: AUDIT_FORMAT,
  version: '0.1.0',
  adapter: { name: 'a', driver: 'd', subgroupSizes: [32], features: ['shader-f16'] },
  quick: true,
  seconds: 1,
  arithmetic: { fma: 'yes' },
  passed: 1,
  failed: 0,
  checks: [CHECK],
  histograms: [{ kernel: 'k', variant: 'v', counts: [1, 2] }],
};
const PROBLEM = {
  format: 'babelgrad-problem-2',
  family: 'rmsnorm',
  kernel: 'rmsnorm_forward',
  shape: 'f32 3 x 5',
  inputClass: 'normal',
  worst: { variant: 'default', metric: 'error', value: null, output: 'y', index: 3 },
  given: { x: 'AAAAAAAA8D8=' },
};
const OP = {
  format: 'babelgrad-op-1',
  op: 'add',
  adapter: 'a',
  found: { tensor: 'x', index: 0, value: 'NaN' },
  buffers: [{ name: 'x', sizeBytes: 16, type: 'f32' }],
  results: [{ name: 'x', buffer: 0, type: 'f32', count: 4 }],
  calls: [
    {
      label: 'l',
      source: '',
      params: [1, { f32: 2 }],
      workgroups: [1, 1, 1],
      buffers: [{ buffer: 0, offsetBytes: 0, sizeBytes: 16 }],
    },
  ],
};

/** A file that begins with the length of a JSON header. */
function withHeader(header: unknown, rest: Buffer): Buffer {
  const json = text(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, rest]);
}

export const findings: readonly Format[] = [
  {
    name: 'tuned variants',
    file: cacheFile,
    inputs: 800,
    whole: fileOf(cacheFile),
    mutate: mutateJson,
    // what does not count is told in a note, and nothing is refused
    read: (_, folder) => {
      const { note } = readCache(folder, adapter);
      if (note !== undefined) throw new UserError(note);
    },
  },
  {
    name: 'an audit',
    file: 'audit.json',
    inputs: 2000,
    whole: text(AUDIT),
    mutate: mutateJson,
    read: path => readAudit(path),
  },
  {
    name: 'a problem of an audit',
    file: 'problem.json',
    inputs: 2000,
    whole: text(PROBLEM),
    mutate: mutateJson,
    read: path => readProblem(path),
  },
  {
    name: 'a recorded op',
    file: 'op',
    inputs: 3000,
    whole: withHeader(OP, Buffer.alloc(16)),
    mutate: mutateHeader,
    read: path => [isOpFile(path), readOp(path)],
  },
];
