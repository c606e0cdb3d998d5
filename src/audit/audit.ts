/** A whole audit: kernels, gradients, denormals; its report, and the worst inputs, as files. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot, writeFileWhole } from '../files.js';
import type { Device } from '../gpu/device.js';
import { denormalsOf } from './denormals.js';
import { modelChecks, ruleChecks } from './gradients.js';
import { auditKernels, type KernelAuditOptions, type Worst } from './kernels.js';
import { auditPage } from './page.js';
import { writeProblem } from './replay.js';
import { AUDIT_FORMAT, type AuditReport } from './report.js';

export interface Audit {
  readonly report: AuditReport;
  readonly worst: readonly Worst[];
}

/**
 * Audits kernels on a device; with no names also the gradients of every op and of a whole model.
 * @throws UserError when a kernel that was asked for does not exist.
 */
export async function audit(device: Device, options: KernelAuditOptions = {}): Promise<Audit> {
  const { names = [], quick = false } = options;
  const start = performance.now();
  const kernels = await auditKernels(device, options);
  const gradients = names.length === 0 ? [...ruleChecks(), ...(await modelChecks(device))] : [];
  const checks = [...kernels.checks, ...gradients];
  const failed = checks.filter(({ passed }) => !passed).length;
  const { name, driver, subgroupSize, features } = device.adapter;
  const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string };
  const report: AuditReport = {
    format: AUDIT_FORMAT,
    version,
    adapter: { name, driver, subgroupSize, features: [...features] },
    quick,
    seconds: Number(((performance.now() - start) / 1000).toFixed(1)),
    denormals: await denormalsOf(device),
    passed: checks.length - failed,
    failed,
    checks,
    histograms: [...kernels.histograms],
  };
  return { report, worst: kernels.worst };
}

/** Writes audit.json, audit.html and, for `audit replay`, the input with the largest error of each kernel. */
export function writeAudit(folder: string, { report, worst }: Audit): void {
  writeFileWhole(join(folder, 'audit.json'), `${JSON.stringify(report)}\n`);
  writeFileWhole(join(folder, 'audit.html'), auditPage(report));
  for (const found of worst) writeProblem(join(folder, 'worst', `${found.family}.json`), found);
}
