/** Results of a benchmark that never ran. */
import type { Samples } from '../../bench/measure.js';
import type { BenchmarkResult, PeerRow, PeerWork } from '../../bench/result.js';
import type { WorkInfo } from '../../bench/work.js';

export const sampleWork = (given: Partial<WorkInfo>): WorkInfo => ({
  name: 'matmul NT 512',
  kind: 'matmul',
  precision: 'f32',
  flops: 2e9,
  bytes: 1e7,
  rate: 'flops',
  check: 'right',
  ...given,
});

export const samplesOf = (wall: number[], given: Partial<Samples> = {}): Samples => ({
  ...sampleWork(given),
  wall,
  gpu: [],
  gpuWall: [],
  ...given,
});

export const ceilings: readonly Samples[] = [
  samplesOf([10, 10], { name: 'multiply-add ceiling', kind: 'ceiling', flops: 1e9, rate: 'flops' }),
  samplesOf([10, 10], { name: 'copy ceiling', kind: 'ceiling', bytes: 5e7, rate: 'bytes' }),
];

export const peerWork = (rows: readonly PeerRow[], given: Partial<PeerWork> = {}): PeerWork => ({
  name: 'matmul 512',
  kind: 'matmul',
  flops: 2e9,
  bytes: 1e7,
  rate: 'flops',
  rows,
  ...given,
});

export function resultOf(given: Partial<BenchmarkResult>): BenchmarkResult {
  return {
    format: 1,
    machine: {
      date: '2026-01-02T03:04:05.000Z',
      cpu: 'some processor',
      threads: 2,
      memoryBytes: 8e9,
      kernel: '6.1',
      load: [1, 1, 1],
      node: 'v20',
      versions: { babelgrad: '0', webgpu: '0' },
      adapter: { name: 'soft <pipe>', driver: 'driver', kind: 'system software', subgroupSizes: [8], features: [] },
    },
    samples: [],
    skipped: [],
    steps: [],
    summary: [],
    bars: [],
    ...given,
  };
}
