/**
 * Makes Vulkan drivers findable before Dawn starts. The Vulkan loader itself finds hardware drivers and those of the
 * system. This file adds the software driver that ships with the project (SwiftShader, inside the optional package
 * `@sparticuz/chromium`) and, on a machine without a Vulkan loader, the loader that comes with it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import type { LibraryHandle } from 'koffi';
import { extract } from 'tar';
import { messageOf } from '../errors.js';
import { cacheFolder, writeFileWhole, writeFolderWhole } from '../files.js';
import { requireNative } from '../natives.js';

/** The result for the bundled software driver: its manifest, or why there is none. */
export type BundledDriver = { readonly manifest: string } | { readonly missing: string };

let prepared: Promise<BundledDriver> | undefined;

/** Unpacks the bundled driver once, tells the Vulkan loader of it, and loads a loader where the system has none. */
export function prepareDrivers(): Promise<BundledDriver> {
  prepared ??= prepare();
  return prepared;
}

async function prepare(): Promise<BundledDriver> {
  if (process.platform !== 'linux') return { missing: `no bundled driver for ${process.platform}` };
  let folder: string;
  try {
    folder = await unpackSwiftShader();
  } catch (error) {
    return { missing: messageOf(error) };
  }
  const manifest = join(folder, 'vk_swiftshader_icd.json');
  // A list that the user set replaces the loader's search, and VK_ADD_DRIVER_FILES is then ignored: extend the list.
  const chosen = ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES'].find(name => process.env[name]);
  const variable = chosen ?? 'VK_ADD_DRIVER_FILES';
  const listed = (process.env[variable] ?? '').split(':').filter(Boolean);
  if (!listed.includes(manifest)) process.env[variable] = [...listed, manifest].join(':');
  try {
    loadVulkan(folder);
    return { manifest };
  } catch (error) {
    return { missing: messageOf(error) };
  }
}

/** What was loaded for Dawn to find: koffi closes a library once its handle is collected. */
const kept: LibraryHandle[] = [];

/** Loads the Vulkan loader in `folder` where the system has none: Dawn's own dlopen then finds it. */
function loadVulkan(folder: string): void {
  const koffi = requireNative<typeof import('koffi')>('koffi');
  if (!canLoad(koffi, 'libvulkan.so.1')) kept.push(koffi.load(join(folder, 'libvulkan.so.1')));
}

function canLoad(koffi: typeof import('koffi'), library: string): boolean {
  try {
    koffi.load(library);
    return true;
  } catch {
    return false;
  }
}

/** Unpacks SwiftShader. @returns the folder that holds the unpacked driver. */
async function unpackSwiftShader(): Promise<string> {
  if (process.arch !== 'x64') throw new Error(`no bundled driver for ${process.arch}`);
  const packageFolder = findPackage('@sparticuz/chromium');
  if (!packageFolder) throw new Error("the optional package '@sparticuz/chromium' is not installed");
  const folder = join(cacheFolder(), `swiftshader-${versionIn(packageFolder)}`);
  if (existsSync(join(folder, 'vk_swiftshader_icd.json'))) return folder;
  const archive = brotliDecompressSync(readFileSync(join(packageFolder, 'bin', 'swiftshader.tar.br')));
  try {
    await writeFolderWhole(folder, async ({ path }) => {
      const file = join(path, 'swiftshader.tar');
      writeFileWhole(file, archive);
      await extract({ file, cwd: path });
    });
  } catch (error) {
    throw new Error(`it cannot be unpacked, set XDG_CACHE_HOME to a folder that can be written (${messageOf(error)})`);
  }
  return folder;
}

/** Returns the version of the package that holds Dawn. */
export function dawnVersion(): string {
  return versionIn(findPackage('webgpu')!);
}

function versionIn(packageFolder: string): string {
  return (JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')) as { version: string }).version;
}

/** Returns the folder of an installed package, or undefined. The package's exports need not name its package.json. */
function findPackage(name: string): string | undefined {
  const searched = createRequire(import.meta.url).resolve.paths(name) ?? [];
  const manifest = searched.map(path => join(path, name, 'package.json')).find(existsSync);
  return manifest && dirname(manifest);
}
