/** The table of several GPUs for a document. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../files.js';
import type { RunFields } from '../run/config.js';
import type { CompiledKernel, CompiledKernels } from './compile.js';
import { showRoofline, showShare, spilling } from './table.js';

/** Returns a row a kernel, a column a GPU, and above them what was compiled, when and by what. */
export function markdownOf(gpus: readonly CompiledKernels[], models: readonly RunFields[]): string {
  const labels = [...new Set(gpus.flatMap(({ kernels }) => kernels.map(({ label }) => label)))].sort();
  const { version } = JSON.parse(readFileSync(join(packageRoot, 'node_modules/webgpu/package.json'), 'utf8')) as {
    version: string;
  };
  const drivers = [...new Set(gpus.map(({ adapter }) => /Mesa [\d.]+/.exec(adapter.driver)?.[0] ?? adapter.driver))];
  const described = models.map(fields =>
    Object.entries(fields)
      .map(([name, value]) => `${name} ${value}`)
      .join(', '),
  );
  const day = new Date().toISOString().slice(0, 10);
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    `${day}, ${drivers.join(', ')}, Dawn of webgpu ${version}; ${described.join('; ')}.`,
    '',
    row(['kernel', ...gpus.map(({ gpu, adapter }) => gpu ?? adapter.name)]),
    row(['---', ...gpus.map(() => '---')]),
    ...labels.map(label =>
      row([label, ...gpus.map(({ kernels }) => cellOf(kernels.filter(kernel => kernel.label === label)))]),
    ),
  ].join('\n');
}

/** Shows the pipeline of a kernel that spills the most or, where none does, takes the most registers. */
function cellOf(kernels: readonly CompiledKernel[]): string {
  const weight = ({ statistics: { registers = 0, spills = 0 } = {} }: CompiledKernel) => 1000 * spills + registers;
  const [worst, ...others] = kernels;
  if (!worst) return '';
  const kernel = others.reduce((a, b) => (weight(b) > weight(a) ? b : a), worst);
  if (kernel.failure !== undefined) return '**fails**';
  const { registers, spills, hotLoop } = kernel.statistics ?? {};
  const cell = [`${registers ?? '–'}`];
  if (spilling(kernel)) cell.push(`**${spills} spilled**`);
  if (hotLoop && hotLoop.fmas + hotLoop.matrixFmas > 0) cell.push(showShare(hotLoop));
  if (kernel.roofline) cell.push(`≤ ${showRoofline(kernel.roofline)}`);
  return cell.join('; ');
}
