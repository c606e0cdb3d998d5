/** A whole audit: kernels, gradients and the adapter's arithmetic; its report, and the worst inputs, as files. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot, writeFileWhole } from '../files.js';
import type { Device } from '../gpu/device.js';
import { arithmeticOf } from './arithmetic.js';
import { modelChecks, ruleChecks } from './gradients.js';
import type { KeptInput } from './kept.js';
import { auditKernels, type KernelAuditOptions } from './kernels.js';
import { auditPage } from './page.js';
import { writeProblem } from './replay.js';
import { AUDIT_FORMAT, type AuditReport } from './report.js';

export interface Audit {
  readonly report: AuditReport;
  readonly kept: readonly KeptInput[];
}

/**
 * Audits kernels on devices of one adapter; there must be at least one. Where no names are given, it also audits the
 * gradients of every op and of a whole model.
 * @throws UserError when a kernel that was asked for does not exist.
 */
export async function audit(devices: readonly [Device, ...Device[]], options: KernelAuditOptions): Promise<Audit> {
  const [device] = devices;
  const { names = [], quick = false } = options;
  const start = performance.now();
  const kernels = await auditKernels(devices, options);
  const gradients = names.length === 0 ? [...ruleChecks(), ...(await modelChecks(device))] : [];
  const checks = [...kernels.checks, ...gradients];
  const failed = checks.filter(({ passed }) => !passed).length;
  const { name, driver, subgroupSizes, features } = device.adapter;
  const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string };
  const report: AuditReport = {
    format: AUDIT_FORMAT,
    version,
    adapter: { name, driver, subgroupSizes: [...subgroupSizes], features: [...features] },
    quick,
    seconds: Number(((performance.now() - start) / 1000).toFixed(1)),
    arithmetic: await arithmeticOf(device),
    passed: checks.length - failed,
    failed,
    checks,
    histograms: [...kernels.histograms],
  };
  return { report, kept: kernels.kept };
}

/**
 * Writes audit.json and audit.html. For `audit replay` it writes the input with the largest error of each kernel and
 * variant under `worst`, and the worst input of each metric that failed under `failed`.
 */
export function writeAudit(folder: string, { report, kept }: Audit, made?: string): void {
  writeFileWhole(join(folder, 'audit.json'), `${JSON.stringify(report)}\n`);
  writeFileWhole(join(folder, 'audit.html'), auditPage(report, made));
  for (const input of kept) {
    const { kernel, variant, metric, passed } = input.check;
    const name = [kernel, variant, ...(passed ? [] : [metric])].join(' ').replace(/[^\w]+/g, '-');
    writeProblem(join(folder, passed ? 'worst' : 'failed', `${name}.json`), input);
  }
}
