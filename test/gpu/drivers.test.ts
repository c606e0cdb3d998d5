/** The Vulkan loader that is loaded for Dawn, in a process that has not looked for adapters yet. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { packageRoot } from '../../src/files.js';

test('it is there for Dawn though garbage was collected in between', () => {
  const moduleOf = (name: string) => JSON.stringify(pathToFileURL(join(packageRoot, 'dist/src/gpu', name)).href);
  const script = `
    const { prepareDrivers } = await import(${moduleOf('drivers.js')});
    await prepareDrivers();
    for (let i = 0; i < 5; i++) {
      gc();
      await new Promise(resolve => setTimeout(resolve, 10)); // finalizers run between turns
    }
    const { listAdapters } = await import(${moduleOf('adapters.js')});
    console.log((await listAdapters()).length);
  `;
  const { stdout, stderr } = spawnSync('node', ['--expose-gc', '--input-type=module', '--eval', script], {
    encoding: 'utf8',
  });
  expect(Number(stdout), stderr).toBeGreaterThan(0);
});
