/**
 * Two cards of one name, which the machine need not have: Mesa's kernel interface that does nothing, twice in a
 * process, as two GPUs of NVIDIA at two PCI addresses, with Mesa's driver, its device-select layer and the Vulkan
 * loader.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { packageRoot } from '../../src/files.js';
import type { AdapterDescription } from '../../src/gpu/adapters.js';
import { temporaryFolder } from '../data/temporary.js';

const { folder } = temporaryFolder();
const compilers = resolve(process.env.GPU_COMPILERS_DIR ?? join(packageRoot, '.cache', 'gpu-compilers'));
const root = join(compilers, 'root', 'usr');
const libraries = join(root, 'lib', 'x86_64-linux-gnu');

/** Runs a program that must succeed. */
function run(command: string, parameters: readonly string[], variables: Record<string, string> = {}): string {
  const env = { ...process.env, VK_ICD_FILENAMES: '', BABELGRAD_ADAPTER: '', ...variables };
  const { status, stdout, stderr } = spawnSync(command, parameters, { encoding: 'utf8', env, timeout: 600_000 });
  if (status !== 0) throw new Error(stderr.trim());
  return stdout;
}

/** Replaces bytes by as many others. @throws Error where they are not there: another build of Mesa. */
function replace(bytes: string, from: string, to: string): string {
  if (!bytes.includes(from)) throw new Error(`nothing to replace by ${JSON.stringify(to)}`);
  return bytes.replaceAll(from, to);
}

/** Makes a node binary that sees a second card beside that of the compilers, with other bytes than that one. */
function makeNode(name: string, differences: readonly (readonly [string, string])[]): string {
  let bytes = readFileSync(join(libraries, 'libnouveau_noop_drm_shim.so'), 'latin1');
  for (const [from, to] of [
    ['\xbb\x80\0\0\0', '\xbb\x81\0\0\0'], // its number among the kernel's cards, 129
    ['/dev/dri/\0', '/dev/---/\0'], // whose files it hides, besides its own
    ['/sys/dev/char/%d:\0', '/sys/dev/----/%d:\0'],
    ...differences,
  ] as const) {
    bytes = replace(bytes, from, to);
  }
  const second = join(folder, `${name}.so`);
  writeFileSync(second, bytes, 'latin1');
  const node = join(folder, `node-${name}`);
  const patchElf = (...parameters: string[]) =>
    run(join(libraries, 'ld-linux-x86-64.so.2'), [
      '--library-path',
      libraries,
      join(root, 'bin/patchelf'),
      ...parameters,
    ]);
  patchElf('--set-soname', second, second);
  patchElf('--no-sort', '--add-needed', second, '--output', node, join(compilers, 'node-nouveau'));
  return node;
}

/** @returns the node binaries, or why there can be none here. */
function makeCards(): { readonly equal: string; readonly longer: string } | { readonly missing: string } {
  try {
    run('bash', [join(packageRoot, 'tools/gpu-compilers.sh'), 'ga102', '--version']);
    return {
      equal: makeNode('equal', [['0000:01:00.0', '0000:02:00.0']]),
      // before the other, with a name that has the other's in it
      longer: makeNode('longer', [
        ['0000:01:00.0', '0000:00:02.0'],
        ['0x1004', '0x2204'],
      ]),
    };
  } catch (error) {
    process.stderr.write(`skipped: two cards cannot be made here: ${String(error)}\n`);
    return { missing: String(error) };
  }
}

const cards = makeCards();
const nodes = 'missing' in cards ? { equal: '', longer: '' } : cards;

const VARIABLES = {
  NOUVEAU_CHIPSET: '172',
  NVK_I_WANT_A_BROKEN_VULKAN_DRIVER: '1',
  VK_DRIVER_FILES: join(root, 'share/vulkan/icd.d/nouveau_icd.json'),
};
const LAYER = { VK_IMPLICIT_LAYER_PATH: join(root, 'share/vulkan/implicit_layer.d') };
const WITHOUT = { VK_IMPLICIT_LAYER_PATH: folder };

/** Lists the adapters, with the name that Dawn gives the opened one, and closes nothing: the process ends. */
const PROGRAM = `
  const { listAdapters } = await import(process.argv[1]);
  const live = await listAdapters();
  const all = live.map(({ adapter, description }) => ({ ...description, opened: adapter.info.device }));
  console.log(JSON.stringify({ all, left: process.env.DRI_PRIME ?? process.env.VK_LOADER_DEVICE_SELECT ?? null }));
  process.exit();
`;

function list(node: string, variables: Record<string, string>) {
  const module = pathToFileURL(join(packageRoot, 'dist/src/gpu/adapters.js')).href;
  const text = run(node, ['--input-type=module', '-e', PROGRAM, module], { ...VARIABLES, ...variables });
  const { all, left } = JSON.parse(text) as { all: (AdapterDescription & { opened: string })[]; left: string | null };
  return { hardware: all.filter(({ kind }) => kind === 'hardware'), left };
}

describe.skipIf('missing' in cards)('two cards', () => {
  test.each([
    ['by the layer, by PCI address', LAYER, { DRI_PRIME: 'pci-0000_02_00_0' }],
    ['by the loader, without the layer', WITHOUT, { VK_LOADER_DEVICE_SELECT: '10de:1004' }],
  ])('equal ones are both opened, %s', (_, variables, order) => {
    const { hardware, left } = list(nodes.equal, variables);
    expect(hardware).toMatchObject([
      { number: 1, pci: '0000:01:00.0' },
      { number: 2, pci: '0000:02:00.0', order },
    ]);
    const [first, second] = hardware;
    expect(second!.name).toBe(first!.name);
    expect(second!.uuid).not.toBe(first!.uuid);
    expect([first!.order, first!.hiddenBy, second!.hiddenBy, left]).toEqual([undefined, undefined, undefined, null]);
  });

  test('one whose name is in that of another is the one that Dawn opens', () => {
    const { hardware } = list(nodes.longer, LAYER);
    expect(hardware).toMatchObject([
      { name: 'NVIDIA GeForce RTX 3090 (NVK )', pci: '0000:00:02.0', opened: 'nvidia-geforce-rtx-3090-nvk-' },
      { name: 'NVK ', pci: '0000:01:00.0', order: { DRI_PRIME: 'pci-0000_01_00_0' }, opened: 'nvk-' },
    ]);
  });

  test('one that no order puts first is marked', () => {
    // the driver lists the other one first, and both say that they are of one model
    const [, second] = list(nodes.longer, WITHOUT).hardware;
    expect(second).toMatchObject({
      name: 'NVK ',
      hiddenBy: 'NVIDIA GeForce RTX 3090 (NVK )',
      opened: 'nvidia-geforce-rtx-3090-nvk-',
    });
    expect(second!.order).toBeUndefined();
  });

  test.each(['pci:0000:02:00.0', 'PCI:00000000:02:00.0', '#2', 'uuid:'])('%s takes the second', asked => {
    const uuidOf = () => list(nodes.equal, LAYER).hardware[1]!.uuid!.toUpperCase();
    const wanted = asked === 'uuid:' ? `uuid:GPU-${uuidOf()}` : asked;
    const parameters = [join(packageRoot, 'dist/src/cli/main.js'), 'adapters', '--json', '--adapter', wanted];
    const { reason } = JSON.parse(run(nodes.equal, parameters, { ...VARIABLES, ...LAYER })) as { reason: string };
    expect(reason).toBe(`asked for by '${wanted}'; number 2 of 2 of this name`);
  });
});
