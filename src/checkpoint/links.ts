/** Symbolic links in model folders: what they point to would be read, and exported. */
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join, sep } from 'node:path';
import { UserError } from '../errors.js';

/**
 * Checks that no link in a model folder leads out of it. In Hugging Face's cache (`models--NAME/snapshots/REVISION`)
 * files are links to `models--NAME/blobs`, which is the model's own.
 * @throws UserError naming the first link that leads elsewhere.
 */
export function checkLinks(folder: string): void {
  if (!existsSync(folder)) return;
  const own = ownFolders(realpathSync(folder));
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (!entry.isSymbolicLink() || !existsSync(path)) continue;
    const target = realpathSync(path);
    if (own.some(root => target.startsWith(root + sep))) continue;
    throw new UserError(
      `'${path}' is a link to '${target}', outside of the model's folder, and is not followed; ` +
        'if you trust it, put the file itself in its place',
    );
  }
}

/** Returns the folders that belong to a model: its own, and the contents of its repository in Hugging Face's cache. */
function ownFolders(folder: string): string[] {
  const snapshots = dirname(folder);
  const repository = dirname(snapshots);
  const isCached = basename(snapshots) === 'snapshots' && basename(repository).startsWith('models--');
  return isCached ? [folder, join(repository, 'blobs')] : [folder];
}
