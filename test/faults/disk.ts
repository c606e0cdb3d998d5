/**
 * A disk that loses power. Of a file, what was not flushed is lost; of a folder, any number of its last entries that
 * were not flushed. This is what POSIX leaves open, and what a journal that orders each folder's entries does.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

export type Operation =
  | { readonly kind: 'create'; readonly path: string }
  | { readonly kind: 'mkdir'; readonly path: string }
  | { readonly kind: 'sync'; readonly path: string }
  | { readonly kind: 'remove'; readonly path: string }
  | { readonly kind: 'write'; readonly path: string; readonly data: string }
  | { readonly kind: 'truncate'; readonly path: string; readonly size: number }
  | { readonly kind: 'rename'; readonly path: string; readonly to: string };

interface File {
  written: Buffer;
  flushed: Buffer;
}
type Entry = File | Folder;
/** A change of a folder's entries that a loss of power may undo. */
type Change = (entries: Map<string, Entry>) => void;

class Folder {
  /** The entries as the program sees them, and as they were when they were last flushed. */
  readonly entries = new Map<string, Entry>();
  readonly flushed = new Map<string, Entry>();
  pending: Change[] = [];

  change(change: Change): void {
    change(this.entries);
    this.pending.push(change);
  }

  sync(): void {
    for (const change of this.pending) change(this.flushed);
    this.pending = [];
  }
}

export class Disk {
  readonly #root: string;
  readonly #top = new Folder();

  /** An empty disk at `root`. */
  constructor(root: string) {
    this.#root = root;
  }

  apply(operation: Operation): void {
    const { path } = operation;
    const folder = path === this.#root ? this.#top : this.#folder(dirname(path));
    const name = basename(path);
    if (operation.kind === 'create') {
      const file: File = { written: Buffer.alloc(0), flushed: Buffer.alloc(0) };
      folder.change(entries => entries.set(name, file));
    } else if (operation.kind === 'mkdir') {
      const made = new Folder();
      folder.change(entries => entries.set(name, made));
    } else if (operation.kind === 'remove') folder.change(entries => entries.delete(name));
    else if (operation.kind === 'rename') {
      if (dirname(operation.to) !== dirname(path)) throw new Error('only renames within a folder are known');
      const moved = folder.entries.get(name)!;
      folder.change(entries => {
        entries.delete(name);
        entries.set(basename(operation.to), moved);
      });
    } else if (operation.kind === 'sync') {
      const entry = this.#entry(path);
      if (entry instanceof Folder) entry.sync();
      else entry.flushed = entry.written;
    } else {
      const file = this.#entry(path) as File;
      file.written =
        operation.kind === 'write'
          ? Buffer.concat([file.written, Buffer.from(operation.data, 'base64')])
          : file.written.subarray(0, operation.size);
    }
  }

  /** Writes what the disk holds after a loss of power to `target`; `keep` says how many of n pending changes stay. */
  writeRemains(target: string, keep: (pending: number) => number): void {
    const write = (folder: Folder, path: string) => {
      mkdirSync(path, { recursive: true });
      const entries = new Map(folder.flushed);
      for (const change of folder.pending.slice(0, keep(folder.pending.length))) change(entries);
      for (const [name, entry] of entries) {
        if (entry instanceof Folder) write(entry, join(path, name));
        else writeFileSync(join(path, name), entry.flushed);
      }
    };
    write(this.#top, target);
  }

  #entry(path: string): Entry {
    if (path === this.#root) return this.#top;
    const found = this.#folder(dirname(path)).entries.get(basename(path));
    if (!found) throw new Error(`'${path}' is not on the disk`);
    return found;
  }

  #folder(path: string): Folder {
    const entry = this.#entry(path);
    if (!(entry instanceof Folder)) throw new Error(`'${path}' is no folder`);
    return entry;
  }
}
