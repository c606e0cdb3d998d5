/** What is held back of stderr while Dawn looks at adapters, in a process of its own. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { packageRoot } from '../../src/files.js';

const LINES = 'Warning: maxSomething artificially reduced from 2 to 1.\nthe driver says this\nWarning: and\n';
const PROGRAM = `
import { writeSync } from 'node:fs';
const { withoutWarnings } = await import(process.argv[1]);
const write = text => writeSync(2, text);
write('before\\n');
console.log(withoutWarnings(() => (write(${JSON.stringify(LINES)}), 42)));
try {
  withoutWarnings(() => {
    write('last words\\n');
    throw new Error('failed');
  });
} catch (error) {
  console.log(error.message);
}
write('after\\n');
`;

function run(environment: Record<string, string>) {
  const module = pathToFileURL(join(packageRoot, 'dist/src/gpu/dawn-warnings.js')).href;
  const parameters = ['--input-type=module', '-e', PROGRAM, module];
  const { BABELGRAD_DEBUG: _, ...env } = { ...process.env, ...environment };
  const options = { encoding: 'utf8', env: { ...env, ...environment } } as const;
  return spawnSync(process.execPath, parameters, options);
}

test.runIf(process.platform === 'linux')('warnings are held back, other lines, results and errors are not', () => {
  const { stdout, stderr } = run({});
  expect(stderr).toBe('before\nthe driver says this\nlast words\nafter\n');
  expect(stdout).toBe('42\nfailed\n');
});

test('with BABELGRAD_DEBUG they are there', () => {
  const { stderr } = run({ BABELGRAD_DEBUG: '1' });
  expect(stderr).toBe(`before\n${LINES}last words\nafter\n`);
});
