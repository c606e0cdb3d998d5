/** A browser that listens to a live page. One that takes nothing any more is dropped; it connects again by itself. */

/** How long a browser may take nothing of what it was sent. */
const PATIENCE_MS = 10_000;

export interface Listener {
  /** Sends a message. All listeners are given the same bytes, so that many take no more memory than one. */
  send(message: Uint8Array): void;
  /** Drops the browser when it has taken nothing for too long. */
  dropIfStuck(): void;
}

/** Returns a listener whose messages go out through `write`, which resolves when one was taken. */
export function listenerOf(write: (message: Uint8Array) => Promise<unknown>, drop: () => void): Listener {
  /** When the messages were written that have not been taken, the oldest first. */
  const waiting: number[] = [];
  return {
    send(message) {
      waiting.push(performance.now());
      void write(message).finally(() => waiting.shift());
    },
    dropIfStuck() {
      if (waiting.length > 0 && performance.now() - waiting[0]! > PATIENCE_MS) drop();
    },
  };
}
