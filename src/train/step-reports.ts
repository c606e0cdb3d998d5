/** The reports of steps, which wait on the device until they are read: nobody waits for a step to submit the next. */
import type { Device } from '../gpu/device.js';
import type { Command } from '../gpu/program.js';
import { readStepHealth, STEP_HEALTH_BYTES, type StepHealth } from '../optim/adamw.js';
import { HISTORY, type TracedStep } from './traced-step.js';

export class StepReports {
  readonly #device: Device;
  readonly #step: Pick<TracedStep, 'stepHealth' | 'history'>;
  #unread = 0;

  constructor(device: Device, step: Pick<TracedStep, 'stepHealth' | 'history'>) {
    this.#device = device;
    this.#step = step;
  }

  /** The number of reports that were kept since the last `collect`. */
  get unread(): number {
    return this.#unread;
  }

  /** @throws Error when there is no place for one more. */
  check(): void {
    if (this.#unread === HISTORY) throw new Error(`${HISTORY} steps have not been read: call reports()`);
  }

  /** Returns the command that keeps a step's report. */
  keep(): Command {
    const { stepHealth, history } = this.#step;
    const from = { buffer: stepHealth.buffer!, offsetBytes: 0, sizeBytes: STEP_HEALTH_BYTES };
    const to = { buffer: history, offsetBytes: this.#unread++ * STEP_HEALTH_BYTES, sizeBytes: STEP_HEALTH_BYTES };
    return { kind: 'copy', from, to };
  }

  /** Collects those kept so far, in order. More may be kept before the function that this returns is called. */
  collect(): () => Promise<StepHealth[]> {
    const count = this.#unread;
    this.#unread = 0;
    if (count === 0) return async () => [];
    const read = this.#device.copyOut(this.#step.history); // always whole: readback buffers are of one size
    return async () => {
      const bytes = await read();
      return Array.from({ length: count }, (_, i) => readStepHealth(bytes, i * STEP_HEALTH_BYTES));
    };
  }
}
