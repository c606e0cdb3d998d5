// Debian's packages: downloaded and unpacked one at a time, without installing them.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Downloads and unpacks a package into root/NAME. @returns {string} its version */
export function unpackPackage(root, name) {
  execFileSync('apt-get', ['download', '-qq', name], { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] });
  const deb = readdirSync(root).find(file => file.startsWith(`${name}_`) && file.endsWith('.deb'));
  if (!deb) throw new Error(`apt-get left no ${name}_*.deb`);
  execFileSync('dpkg-deb', ['-x', join(root, deb), join(root, name)]);
  rmSync(join(root, deb));
  return decodeURIComponent(deb).split('_')[1];
}

/** The names of the licences in a package's copyright file, and its text. */
export function licenceOf(root, name) {
  const path = join(root, name, 'usr/share/doc', name, 'copyright');
  if (!existsSync(path)) return { names: [], text: '' }; // a link into a package that it depends on
  const text = readFileSync(path, 'utf8');
  const names = [...text.matchAll(/^License: *(\S.*)$/gm)].map(([, licence]) => licence.trim());
  return { names: [...new Set(names)].sort(), text };
}
