/** Compiles a kernel's WGSL to a pipeline, or tells what the compiler has against it. */
import type { Pipeline } from './program.js';

/** Where a line of a source, from 1, was written. */
export type LineOrigin = (line: number) => string | undefined;

/**
 * @throws Error with the compiler's messages and the lines that they are about.
 * @internal
 */
export async function compileKernel(
  device: GPUDevice,
  label: string,
  source: string,
  originOf: LineOrigin,
): Promise<Pipeline> {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ label, code: source });
  const handle = device.createComputePipelineAsync({ label, layout: 'auto', compute: { module, entryPoint: 'main' } });
  const scope = device.popErrorScope();
  const outcome = await Promise.allSettled([handle, scope]);
  if (outcome[0].status === 'fulfilled') return { label, handle: outcome[0].value };
  const { messages } = await module.getCompilationInfo();
  const lines = source.split('\n');
  const notes = messages.flatMap(({ lineNum, linePos, message }) => {
    const line = lines[lineNum - 1] ?? '';
    return [`${originOf(lineNum) ?? `line ${lineNum}`}: ${message}`, `  ${line}`, `  ${' '.repeat(linePos - 1)}^`];
  });
  throw new Error([`kernel '${label}' does not compile: ${outcome[0].reason}`, ...notes].join('\n'));
}

/**
 * The compiler's messages about a source, before any driver sees it.
 * @internal
 */
export async function diagnoseKernel(device: GPUDevice, source: string): Promise<string[]> {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code: source });
  const { messages } = await module.getCompilationInfo();
  await device.popErrorScope();
  return messages.map(({ type, lineNum, linePos, message }) => `${type} ${lineNum}:${linePos} ${message}`);
}
