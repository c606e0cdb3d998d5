/**
 * Every op's float64 rule, and the model's gradients on the device: how far within its bound, and what the bound
 * catches.
 */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { modelChecks, ruleChecks } from '../../src/audit/gradients.js';
import * as attention from '../../src/numerics/attention.js';
import * as reference from '../../src/numerics/reference.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice({ checked: false });
afterEach(() => vi.restoreAllMocks());

test('every rule agrees with central differences', () => {
  expect(ruleChecks().filter(({ passed }) => !passed)).toEqual([]);
});

test('every function of the float64 reference that gives a gradient is among them', () => {
  const checked = new Set(ruleChecks().map(({ kernel }) => kernel));
  const rules = Object.keys({ ...reference, ...attention }).filter(name => name.endsWith('Backward'));
  expect(rules.length).toBeGreaterThan(3);
  for (const rule of rules) expect(checked).toContain(rule.replace('Backward', ''));
});

describe("a model's loss and gradients against float64", () => {
  test('are four times as close as their bound, which is no proof, allows', async () => {
    const checks = await modelChecks(context.device);
    expect(checks.filter(({ passed }) => !passed)).toEqual([]);
    const errors = checks.filter(({ metric }) => metric.startsWith('error'));
    expect(errors.length).toBeGreaterThan(20);
    expect(errors.filter(({ value, bound }) => !(value! < bound / 4))).toEqual([]);
  });

  test('are beyond it where one op is off by a thousandth', async () => {
    const { device } = context;
    const compile = device.compile.bind(device);
    let altered = 0;
    vi.spyOn(device, 'compile').mockImplementation((label, source) => {
      const off = source.replace(/(return gate \/ \(1f \+ exp\(.*\)\) \* up);/, '$1 * 1.001f;');
      if (off !== source) altered++;
      return compile(label, off);
    });
    const failed = (await modelChecks(device)).filter(({ passed }) => !passed);
    expect(altered).toBeGreaterThan(0);
    expect(failed.length).toBeGreaterThan(5);
  });
});
