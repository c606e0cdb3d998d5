/** The program starts without packages of native code; what needs one says what to install. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { packageRoot } from '../src/files.js';
import { tokenizeSample } from './support/command.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-natives-'));
afterAll(() => rmSync(root, { recursive: true }));

/** Stands in for an installation whose binaries are missing: neither `import` nor `require` finds them. */
const HOOK = `
import Module, { register } from 'node:module';
const missing = ['@resvg/resvg-js', 'koffi', 'tokenizers', 'webgpu'];
const resolveFilename = Module._resolveFilename;
Module._resolveFilename = function (name, ...rest) {
  if (missing.includes(name)) throw new Error("Cannot find module '" + name + "'");
  return resolveFilename.call(this, name, ...rest);
};
register('data:text/javascript,' + encodeURIComponent(\`
  const missing = \${JSON.stringify(missing)};
  export function resolve(name, context, next) {
    if (missing.includes(name)) throw new Error("Cannot find module '" + name + "'");
    return next(name, context);
  }\`));
`;
const hook = join(root, 'hook.mjs');
writeFileSync(hook, HOOK);
const babelgrad = (...parameters: string[]) => {
  const program = ['--import', pathToFileURL(hook).href, join(packageRoot, 'dist/src/cli/main.js'), ...parameters];
  return spawnSync(process.execPath, program, { cwd: root, encoding: 'utf8' });
};

describe('without any package of native code', () => {
  test.each([['--version'], ['--help'], ['train', '--help']])('%s %s works', (...given) => {
    const { status, stdout, stderr } = babelgrad(...given);
    expect(status, stderr).toBe(0);
    expect(stdout).not.toBe('');
  });

  test('what needs one names it, and what to install, with status 2', async () => {
    await tokenizeSample(root);
    expect(babelgrad('verify', 'en').stdout).toMatch(/^en: good, 4 files/);
    const needs: [string, string[]][] = [
      ['webgpu', ['adapters']],
      ['webgpu', ['train', '--out', 'run', '--source', 'en=en', '--preset', 'tiny', '--tokens', '1024']],
      ['tokenizers', ['tokenize', 'en.txt', '--tokenizer', 'tokenizer.json', '--out', 'other']],
    ];
    for (const [name, command] of needs) {
      const { status, stderr } = babelgrad(...command);
      expect(stderr).toContain(`this needs the package '${name}' with its part for ${process.platform}`);
      expect(stderr).toContain(`install it with 'npm install ${name} --include=optional'`);
      expect(stderr.trim().split('\n')).toHaveLength(1);
      expect(status).toBe(2);
    }
  });
});
