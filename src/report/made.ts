/** The words at the end of a page that say where it comes from. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../files.js';

/** Says when, by which version and by which command a page was made. */
export function madeBy(command: string): string {
  const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string };
  const minute = new Date().toISOString().slice(0, 16).replace('T', ' ');
  return `Made on ${minute} UTC by babelgrad ${version}: babelgrad ${command}`;
}
