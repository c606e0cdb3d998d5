/** Names and links in folders of others: what leads out of the folder is neither read nor copied. */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { exportModel } from '../../src/checkpoint/export.js';
import { findModelFolder } from '../../src/checkpoint/find.js';
import { checkModelFolder } from '../../src/checkpoint/model-folder.js';
import { UserError } from '../../src/errors.js';
import { isFileName } from '../../src/paths.js';
import { writeCheckpoint } from '../support/checkpoints.js';
import { sharded, useCheckpoint } from '../support/damage.js';
import { pretendPlatform } from '../support/platform.js';

const { root, folder, out, refusedUnread } = useCheckpoint();

describe('a link in a model folder', () => {
  test.each(['tokenizer_config.json', 'chat_template.jinja', 'model.safetensors'])(
    'that leads elsewhere, %s, is refused by every way in',
    async name => {
      const secret = join(root, 'secret');
      writeFileSync(secret, 'what nobody asked for');
      rmSync(join(folder, name), { force: true });
      symlinkSync(secret, join(folder, name));
      await refusedUnread(/is a link to '.*secret', outside of the model's folder, and is not followed/);
      expect(() => findModelFolder(folder)).toThrow(/is a link to '.*secret'/);
    },
  );

  test('to a folder outside whose path begins alike is refused', async () => {
    mkdirSync(`${folder}-other`);
    writeFileSync(join(`${folder}-other`, 'merges.txt'), 'x');
    symlinkSync(join('..', 'model-other', 'merges.txt'), join(folder, 'merges.txt'));
    await refusedUnread(/is a link to/);
  });

  test('to a file beside it is followed, and the folder itself may be a link', async () => {
    renameSync(join(folder, 'model.safetensors'), join(folder, 'weights.bin'));
    symlinkSync('weights.bin', join(folder, 'model.safetensors'));
    const link = join(root, 'link');
    symlinkSync(folder, link);
    await exportModel(findModelFolder(link), out, { type: 'F16' });
    rmSync(out, { recursive: true });
  });
});

describe("Hugging Face's cache, where files are links to blobs", () => {
  /** Moves the folder into a cache as huggingface_hub lays it out. @returns the snapshot's folder. */
  function cached(name: string): { snapshot: string; blobs: string } {
    const repository = join(root, name);
    rmSync(repository, { recursive: true, force: true });
    const [snapshot, blobs] = [join(repository, 'snapshots', 'a1b2c3'), join(repository, 'blobs')];
    mkdirSync(snapshot, { recursive: true });
    mkdirSync(blobs);
    for (const file of ['config.json', 'model.safetensors']) {
      const bytes = readFileSync(join(folder, file));
      const blob = createHash('sha256').update(bytes).digest('hex');
      writeFileSync(join(blobs, blob), bytes);
      symlinkSync(join('..', '..', 'blobs', blob), join(snapshot, file));
    }
    return { snapshot, blobs };
  }

  test('loads, and its export has the files themselves', async () => {
    const { snapshot } = cached('models--someone--small');
    expect(checkModelFolder(findModelFolder(snapshot))).toEqual([]);
    await exportModel(snapshot, out, { type: 'BF16' });
    expect(existsSync(join(out, 'model.safetensors'))).toBe(true);
    rmSync(out, { recursive: true });
  });

  test('is refused where a link leads to the blobs of another model, or out of the cache', async () => {
    const other = cached('models--someone--other');
    const { snapshot } = cached('models--someone--small');
    for (const target of [join(other.snapshot, 'config.json'), join(dirname(other.blobs), '..', 'secret')]) {
      if (!existsSync(target)) writeFileSync(target, 'x');
      symlinkSync(target, join(snapshot, 'generation_config.json'));
      await expect(exportModel(snapshot, out, { type: 'F16' })).rejects.toThrow(/outside of the model's folder/);
      rmSync(join(snapshot, 'generation_config.json'));
    }
  });

  test('has its rights only by its whole layout', async () => {
    const { snapshot } = cached('not-a-cache');
    await expect(exportModel(snapshot, out, { type: 'F16' })).rejects.toBeInstanceOf(UserError);
  });
});

test('an index of weights that names a file outside is refused', async () => {
  for (const name of ['../outside.safetensors', '/etc/passwd', '..', 'a\\b', '.hidden', '']) {
    writeCheckpoint(folder, sharded);
    const path = join(folder, 'model.safetensors.index.json');
    const index = JSON.parse(readFileSync(path, 'utf8'));
    index.weight_map['model.norm.weight'] = name;
    writeFileSync(path, JSON.stringify(index));
    cpSync(join(folder, 'model-00001-of-00002.safetensors'), join(root, 'outside.safetensors'));
    await refusedUnread(/which is not the name of a file beside it/);
  }
});

test('a name of a file has no slash, no control character and no dot at its beginning, and is not too long', () => {
  for (const name of ['a', 'train-00000.bin', '日本語', 'a..b', 'x'.repeat(255)]) expect(isFileName(name)).toBe(true);
  for (const name of ['', '.', '..', '.a', 'a/b', '/a', 'a\\b', 'a\u0000', 'a\nb', 'x'.repeat(256), '語'.repeat(86)]) {
    expect(isFileName(name), JSON.stringify(name)).toBe(false);
  }
});

test('on Windows a name is no device, drive, stream or pattern either', () => {
  const names = ['C:x', 'a:b', 'nul', 'CON.txt', 'com1', 'a*', 'a?', 'a|b', 'a.', 'a '];
  pretendPlatform('linux');
  expect(names.filter(name => !isFileName(name))).toEqual([]);
  pretendPlatform('win32');
  expect(names.filter(isFileName)).toEqual([]);
  for (const name of ['null', 'content.txt', 'com', 'model-00001-of-00002.safetensors']) {
    expect(isFileName(name)).toBe(true);
  }
});
