/**
 * Waits without burning a core. While anything is pending, Dawn's Node binding polls the device once per turn of the
 * event loop, without a pause. This takes a core from a software adapter, which computes on the same ones. Naps of a
 * millisecond between the polls leave the cores to the work that is waited for.
 */

const NAP_MS = 1;
/** Waits shorter than this are not worth a nap. */
const AWAKE_MS = 2;

const neverChanged = new Int32Array(new SharedArrayBuffer(4));
let pending = 0;
let isNapping = false;

function nap(): void {
  isNapping = pending > 0;
  if (!isNapping) return;
  Atomics.wait(neverChanged, 0, 0, NAP_MS);
  setImmediate(nap);
}

/** Waits for something of the device; signals, timers and other callbacks get their turn between naps. */
export async function withNaps<Result>(promise: Promise<Result>): Promise<Result> {
  pending++;
  if (!isNapping) setTimeout(nap, AWAKE_MS);
  isNapping = true;
  try {
    return await promise;
  } finally {
    pending--;
  }
}
