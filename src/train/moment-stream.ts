/**
 * An update whose moments come from host memory: each piece is written into a slot, updated there, and read back, while
 * the device works on the piece before it. The queue keeps the order, so that a slot is never written too early.
 */
import type { Plan } from '../autograd/plan.js';
import type { Device } from '../gpu/device.js';
import type { Command } from '../gpu/program.js';
import type { HostMoments, MomentPiece } from './host-moments.js';

export class MomentStream {
  readonly #device: Device;
  readonly #readbacks: HostMoments['readbacks'];
  /** The update cut behind each piece, and what follows the last one. */
  readonly #parts: readonly { readonly piece: MomentPiece; readonly commands: readonly Command[] }[];
  readonly #rest: readonly Command[];
  /** The way back of each piece, and that through each readback buffer. */
  readonly #back = new Map<object, Promise<void>>();
  #turn = 0;
  #isSubmitting = false;

  /** `update` has a node for each piece, in their order. */
  constructor(device: Device, update: Plan, { pieces, readbacks }: HostMoments) {
    this.#device = device;
    this.#readbacks = readbacks;
    const nodeOf = new Map(update.nodes.flatMap((node, i) => (node.updates ?? []).map(tensor => [tensor, i] as const)));
    let from = 0;
    this.#parts = pieces.flat().map(piece => {
      const [moment] = Object.values(piece.moments);
      const end = update.endOf(nodeOf.get(moment!)!);
      const commands = update.commands.slice(from, end);
      from = end;
      return { piece, commands };
    });
    this.#rest = update.commands.slice(from);
  }

  /**
   * Submits what comes before the update of a step, the update, and what comes after it. It returns when all is with
   * the device.
   * @throws Error when the step before is not yet.
   */
  async submit(step: number, before: readonly Command[], after: readonly Command[]): Promise<void> {
    this.check();
    this.#isSubmitting = true;
    try {
      this.#device.submit(before);
      let commands: Command[] = [];
      for (const part of this.#parts) {
        commands.push(...part.commands);
        if (step <= part.piece.frozenSteps) continue; // its kernels change nothing, whatever the slot holds
        await this.#submitPart(part.piece, commands);
        commands = [];
      }
      this.#device.submit([...commands, ...this.#rest, ...after]);
    } finally {
      this.#isSubmitting = false;
    }
  }

  async #submitPart(piece: MomentPiece, commands: readonly Command[]): Promise<void> {
    const readback = this.#readbacks[this.#turn++ % this.#readbacks.length]!;
    await this.#back.get(piece);
    await this.#back.get(readback);
    const { slot, bytes } = piece;
    const sizeBytes = bytes.byteLength;
    this.#device.write(slot, bytes);
    const copy = {
      kind: 'copy',
      from: { buffer: slot, offsetBytes: 0, sizeBytes },
      to: { buffer: readback, offsetBytes: 0, sizeBytes },
    } as const;
    this.#device.submit([...commands, copy]);
    const back = this.#device.readStaging(readback, bytes);
    back.catch(() => {}); // whoever needs the piece next is told
    this.#back.set(piece, back);
    this.#back.set(readback, back);
  }

  /** @throws Error while a step is being submitted. */
  check(): void {
    if (this.#isSubmitting) throw new Error('the step before is still being submitted: wait for the promise of submit');
  }

  /** Waits until all moments are back. */
  async settle(): Promise<void> {
    await Promise.all(this.#back.values());
  }
}
