/**
 * Dawn as the browser's WebGPU, for libraries that expect `navigator.gpu`, on the adapter that is measured; and counts
 * of what they ask of it. The adapter's instance must stay reachable as long as its device lives.
 */
import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);

let gpu;
const counts = { dispatches: 0, submits: 0, buffers: 0, bytes: 0, peakBytes: 0 };

/** Defines `navigator.gpu` for the adapter of this name. */
export function installNavigator(adapter) {
  gpu = create([`adapter=${adapter}`, 'enable-dawn-features=allow_unsafe_apis,disable_robustness']);
  const navigator = { gpu, userAgent: `Node.js/${process.version}`, hardwareConcurrency: 2 };
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
  watch();
}

function wrap(prototype, method, before, after = (_result, _args) => {}) {
  const original = prototype[method];
  prototype[method] = function (...args) {
    before(this, args);
    const result = original.apply(this, args);
    after(result, args);
    return result;
  };
}

function watch() {
  const sizes = new WeakMap();
  wrap(
    GPUDevice.prototype,
    'createBuffer',
    () => counts.buffers++,
    (buffer, [{ size }]) => {
      sizes.set(buffer, size);
      counts.bytes += size;
      counts.peakBytes = Math.max(counts.peakBytes, counts.bytes);
    },
  );
  wrap(GPUBuffer.prototype, 'destroy', buffer => {
    counts.bytes -= sizes.get(buffer) ?? 0;
    sizes.delete(buffer);
  });
  wrap(GPUQueue.prototype, 'submit', () => counts.submits++);
  wrap(GPUComputePassEncoder.prototype, 'dispatchWorkgroups', () => counts.dispatches++);
  wrap(GPUComputePassEncoder.prototype, 'dispatchWorkgroupsIndirect', () => counts.dispatches++);
}

/** Starts counting the peak from what is in use now. */
export function startPeak() {
  const { bytes } = counts;
  counts.peakBytes = bytes;
  return () => counts.peakBytes - bytes;
}

/** What one call of `step` asks of the device. */
export async function costsOf(step) {
  const { dispatches, submits, buffers } = counts;
  await step();
  return {
    dispatches: counts.dispatches - dispatches,
    submits: counts.submits - submits,
    buffersAfterStep2: counts.buffers - buffers,
  };
}
