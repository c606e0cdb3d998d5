/** PyTorch with CUDA as an engine beside ours, where `python3` has it. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { EngineCommand, EngineProcess } from '../engines/process.js';
import type { CudaTask } from '../engines/protocol.js';
import type { Work, WorkInfo } from '../work.js';

const HAS_CUDA = 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else 1)';

/** How to start it; undefined where no python3 has torch with CUDA. */
export function torchWithCuda(): EngineCommand | undefined {
  for (const command of ['python3', '/usr/bin/python3']) {
    try {
      execFileSync(command, ['-c', HAS_CUDA], { stdio: 'ignore', timeout: 60_000 });
      const script = join(import.meta.dirname, '..', 'peers', 'torch_cuda.py');
      return { command, arguments: [script], environment: process.env };
    } catch {
      // no such python, or one without torch or CUDA
    }
  }
  return undefined;
}

export type PeerWork = Work & { readonly peakBytes?: number | undefined };

/** A work of the engine, which times it by its own clock. @throws Error with what the engine said against it. */
export async function peerWork(engine: EngineProcess, task: CudaTask, info: WorkInfo): Promise<PeerWork> {
  const prepared = await engine.prepare(task);
  if ('unsupported' in prepared) throw new Error(prepared.unsupported);
  return {
    ...info,
    check:
      prepared.check ?? (prepared.losses ? `losses ${prepared.losses.map(loss => loss.toFixed(3)).join(' ')}` : ''),
    perRun: 1,
    peakBytes: prepared.costs?.peakBytes,
    samples: seconds => engine.measure(seconds, task.name),
    run: async () => {
      await engine.measure(0, task.name);
    },
    destroy() {},
  };
}
