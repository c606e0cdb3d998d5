/** The engines that are compared: where they are, and how each is started or installed. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../src/files.js';
import type { AdapterDescription } from '../../src/gpu/adapters.js';
import type { EngineCommand } from './process.js';

export interface EngineChoice {
  readonly name: string;
  /** Runs on the adapter that is measured, through WebGPU; the others run on the processor. */
  readonly webgpu: boolean;
  /** How to start it, or how to install it where it is missing. */
  readonly start: EngineCommand | { readonly missing: string };
}

export const OURS = 'babelgrad';
export const PYTORCH = 'PyTorch CPU';
const PEERS = join(packageRoot, 'bench', 'peers');
const INSTALL_PEERS = 'npm ci --prefix bench/peers';
/** As it was before drivers were looked for: what other programs would find. */
const ENVIRONMENT = { ...process.env };

/** Every engine, ours first. `folder` holds the peers. */
export function engines(adapter: AdapterDescription, folder = PEERS): EngineChoice[] {
  const serve = join(import.meta.dirname, 'serve.js');
  const javascript = (module: string, bundled: boolean): EngineCommand => ({
    command: process.execPath,
    arguments: [serve, module, adapter.name, ...(bundled ? ['bundled'] : [])],
    environment: { ...ENVIRONMENT, ...adapter.order },
  });
  const peer = (name: string, packages: readonly string[], module: string, bundled: boolean) => ({
    name,
    webgpu: true,
    start: packages.every(wanted => existsSync(join(folder, 'node_modules', wanted, 'package.json')))
      ? javascript(join(folder, module), bundled)
      : { missing: `not installed: ${INSTALL_PEERS}` },
  });
  // finds its adapter by itself, so that it must see no driver but the one that is measured
  const onnxBundled = adapter.kind === 'bundled software';
  return [
    { name: OURS, webgpu: true, start: javascript(join(import.meta.dirname, 'babelgrad.js'), true) },
    peer('jax-js', ['@jax-js/jax'], 'jax.mjs', true),
    peer('TensorFlow.js', ['@tensorflow/tfjs', '@tensorflow/tfjs-backend-webgpu'], 'tfjs.mjs', true),
    peer('ONNX Runtime', ['onnxruntime-node'], 'onnx.mjs', onnxBundled),
    { name: PYTORCH, webgpu: false, start: pytorch(join(folder, 'torch_engine.py')) },
  ];
}

/** Two threads that sleep while they wait. */
const THREADS = 2;
function pytorch(script: string): EngineChoice['start'] {
  const { OPENBLAS_L2_SIZE: _, ...inherited } = ENVIRONMENT;
  const environment = { ...inherited, OMP_WAIT_POLICY: 'PASSIVE', OMP_NUM_THREADS: String(THREADS) };
  for (const command of ['python3', '/usr/bin/python3']) {
    try {
      execFileSync(command, ['-c', 'import torch'], { env: environment, stdio: 'ignore', timeout: 60_000 });
      return { command, arguments: [script, String(THREADS)], environment };
    } catch {
      // no such python, or one without torch
    }
  }
  return { missing: 'no python3 with torch: apt-get install python3-torch, or pip install torch' };
}
