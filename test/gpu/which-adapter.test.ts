/** Adapters of one name: what is listed, what can be opened, and what is refused. */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { AdapterChoice } from '../../src/gpu/choose-adapter.js';
import { prepareDrivers } from '../../src/gpu/drivers.js';
import { temporaryFolder } from '../data/temporary.js';
import { runCommand } from '../support/command.js';

const { folder: root, write } = temporaryFolder();

/** The environment in which the bundled driver is there twice, by two manifests: two equal adapters. */
async function twice(): Promise<Record<string, string>> {
  const bundled = await prepareDrivers();
  if (!('manifest' in bundled)) throw new Error(bundled.missing);
  const manifest = JSON.parse(readFileSync(bundled.manifest, 'utf8')) as { ICD: { library_path: string } };
  manifest.ICD.library_path = resolve(dirname(bundled.manifest), manifest.ICD.library_path);
  const copy = write('second.json', JSON.stringify(manifest));
  return { VK_DRIVER_FILES: copy, VK_ICD_FILENAMES: '', BABELGRAD_ADAPTER: '' };
}

describe('two equal adapters', () => {
  test('both are listed, and the second is marked', async () => {
    const { stdout } = await runCommand(root, ['adapters', '--json'], await twice());
    const { adapters, reason } = JSON.parse(stdout) as AdapterChoice;
    expect(adapters).toHaveLength(2);
    const [first, second] = adapters;
    expect(second!.name).toBe(first!.name);
    expect(first!.hiddenBy).toBeUndefined();
    expect(second!.hiddenBy).toBe(first!.name);
    expect(reason).toMatch(/; number 1 of 2 of this name$/);
    const { stdout: text } = await runCommand(root, ['adapters', '--adapter', '#1'], await twice());
    expect(text).toMatch(/#1 SwiftShader.*#2 SwiftShader.*cannot be opened .* hidden by 'SwiftShader/s);
    expect(text).toMatch(/chosen: SwiftShader .* \(asked for by '#1'; number 1 of 2 of this name\)/);
  });

  test('the second is refused with what makes it the first, and a third with those that there are', async () => {
    const { status, stderr } = await runCommand(root, ['adapters', '--adapter', '#2'], await twice());
    expect(status).toBe(2);
    expect(stderr).toMatch(/adapter #2, 'SwiftShader.*', cannot be told apart from 'SwiftShader.*device-select layer/);
    const none = await runCommand(root, ['adapters', '--adapter', '#3'], await twice());
    expect(none.status).toBe(2);
    expect(none.stderr).toMatch(/no adapter matches '#3'; this machine has #1 'SwiftShader.*, #2 'SwiftShader/);
  });

  test('their UUID is that of both, and means the one that can be opened', async () => {
    const { stdout } = await runCommand(root, ['adapters', '--json'], await twice());
    const [first, second] = (JSON.parse(stdout) as AdapterChoice).adapters;
    expect(first!.uuid).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(second!.uuid).toBe(first!.uuid);
    const { stdout: byUuid } = await runCommand(root, ['adapters', '--adapter', `uuid:${first!.uuid}`], await twice());
    expect(byUuid).toMatch(/asked for by 'uuid:.*'; number 1 of 2/);
    const absent = await runCommand(root, ['adapters', '--adapter', 'pci:0000:03:00.0'], await twice());
    expect(absent.status).toBe(2);
    expect(absent.stderr).toContain("no adapter matches 'pci:0000:03:00.0'; this machine has #1 'SwiftShader");
  });
});
