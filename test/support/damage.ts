/** A checkpoint to damage, and what is expected of a damaged one: it is refused by name, and nothing is written. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect } from 'vitest';
import { exportModel } from '../../src/checkpoint/export.js';
import { checkModelFolder } from '../../src/checkpoint/model-folder.js';
import { UserError } from '../../src/errors.js';
import { LAYOUTS, writeCheckpoint } from './checkpoints.js';

export const single = LAYOUTS['SmolLM, BF16, tied, 3 heads to 1']!;
export const sharded = LAYOUTS['Mistral, BF16, sharded, heads narrower than the model']!;

/** A sound checkpoint of the layout `single` at `folder`, anew for every test. */
export function useCheckpoint() {
  const root = mkdtempSync(join(tmpdir(), 'babelgrad-bad-'));
  const folder = join(root, 'model');
  const out = join(root, 'out');
  afterAll(() => rmSync(root, { recursive: true }));
  beforeEach(() => {
    writeCheckpoint(folder, single);
  });

  /** Every way in refuses the folder with this message; an export leaves nothing behind. */
  async function refused(message: RegExp): Promise<void> {
    const attempt = exportModel(folder, out, { type: 'F16' });
    await expect(attempt).rejects.toThrow(message);
    await expect(attempt).rejects.toBeInstanceOf(UserError);
    expect(existsSync(out)).toBe(false);
  }

  /** As `refused`, and already before any weight is read. */
  async function refusedUnread(message: RegExp): Promise<void> {
    expect(() => checkModelFolder(folder)).toThrow(message);
    await refused(message);
  }

  return { root, folder, out, refused, refusedUnread };
}
