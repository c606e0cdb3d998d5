/**
 * Devices that hang: a driver that neither finishes its work nor gives up the device. Only time tells them from slow
 * ones.
 */

/** The parts that a wait is counted in: of the time that the process itself stood still, one part counts. */
const PARTS = 10;

/**
 * The devices that hang, kept for the life of the process: to destroy one, or to collect it, waits for its work, and
 * would hold up the whole process.
 */
const hung = new Set<GPUDevice>();

/** Gives up a device that hangs. */
export function abandon(handle: GPUDevice): void {
  hung.add(handle);
}

/** Ends the process where a device hangs: Node would poll it, and never end by itself. */
export function endIfHung(): void {
  if (hung.size > 0) process.exit();
}

/** Waits as the promise does, but for at most so many milliseconds; then for the error that `onHang` returns. */
export async function withinTime<Result>(
  promise: Promise<Result>,
  milliseconds: number,
  onHang: () => Error,
): Promise<Result> {
  if (milliseconds === Number.POSITIVE_INFINITY) return promise;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    let parts = 0;
    timer = setInterval(() => ++parts === PARTS && reject(onHang()), milliseconds / PARTS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearInterval(timer);
  }
}
