/** Writes files and folders as the program does, an old state and then a new one. Its parameter is the folder. */
import { join } from 'node:path';

const root = process.argv[2];
const { writeFileWhole, writeFolderWhole } = await import('../../dist/src/files.js');

for (const state of ['old', 'new']) {
  writeFileWhole(join(root, 'deep', 'er', 'file.json'), JSON.stringify({ state, filling: 'x'.repeat(3000) }));
  await writeFolderWhole(join(root, 'above', 'folder'), folder => {
    folder.write('one', `${state} one`);
    folder.write('two', `${state} two`);
    const file = folder.create(`only-in-${state}`);
    for (let i = 0; i < 3; i++) file.write(Buffer.from(`${state} ${i}`));
    file.finish();
  });
}
