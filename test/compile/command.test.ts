/** `audit compile` as a user meets it on an adapter whose driver prints nothing, and bad usage. */
import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import type { CompiledKernels } from '../../src/compile/compile.js';
import { runCommand } from '../support/command.js';

const compile = (...parameters: string[]) => runCommand(tmpdir(), ['audit', 'compile', ...parameters]);
const TINY = ['--preset', 'tiny', '--num-hidden-layers', '1', '--vocab-size', '64', '--context-length', '16'];

test('the kernels that were asked for, and which figures are missing', async () => {
  const { status, stdout, stderr } = await compile('rope', 'sum', ...TINY, '--batch-tokens', '32');
  expect(status, stderr).toBe(0);
  expect(stdout).toMatch(/given to kernels: subgroups of \d+ lanes; matrices/);
  expect(stdout).toMatch(/│ rope +│/);
  expect(stdout).not.toContain('adamw');
  expect(stdout).toMatch(/this driver prints nothing of what it compiles: no registers, spills, .*the hot loop/);
});

test('the same as JSON, with variants', async () => {
  const { status, stdout, stderr } = await compile('rmsnorm', ...TINY, '--batch-tokens', '32', '--json');
  expect(status, stderr).toBe(0);
  const [found] = (JSON.parse(stdout) as { gpus: [CompiledKernels] }).gpus;
  expect(found.adapter.kind).not.toBe('hardware');
  const labels = new Set(found.kernels.map(({ label }) => label));
  expect([...labels].sort()).toEqual(['rmsnorm_backward', 'rmsnorm_forward']);
  for (const kernel of found.kernels) {
    expect(kernel.variant).toMatch(/workgroup=\d+/);
    expect(kernel.failure).toBeUndefined();
    expect(kernel.seconds).toBeGreaterThan(0);
  }
});

test.each([
  [['--gpu', 'voodoo2'], /there is no GPU 'voodoo2'; --gpu takes navi21, /],
  [['--gpu', 'navi21', '--adapter', 'swiftshader'], /--gpu and --adapter: give one of them/],
  [['rop', 'matmull', ...TINY], /no kernel .* begins with matmull/],
  [['--preset', 'colossal'], /colossal/],
])('%j is refused', async (parameters, message) => {
  const { status, stdout, stderr } = await compile(...parameters);
  expect(stderr).toMatch(message);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
});
