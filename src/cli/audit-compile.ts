/** The command `audit compile`: what the compilers of GPUs make of the kernels, also of GPUs that are not here. */
import { type CompiledKernels, compileKernels } from '../compile/compile.js';
import { driverOf, GPUS } from '../compile/gpus.js';
import { markdownOf } from '../compile/markdown.js';
import { failureOf, missingFigures, spilling, TABLE_HEAD, tableRows } from '../compile/table.js';
import { UserError } from '../errors.js';
import { showLanes } from '../gpu/adapters.js';
import { readYaml } from '../index.js';
import { parseFields } from '../run/config.js';
import type { CommandResult, Terminal } from './command.js';
import { withFlags } from './field-flags.js';
import { interruptible } from './interruption.js';
import type { Progress } from './progress.js';
import { textTable } from './table.js';

interface CompileCommandOptions extends Record<string, unknown> {
  readonly gpu: readonly string[];
  readonly config?: string;
  readonly adapter?: string;
  readonly markdown?: boolean;
}

/** The model where none is asked for: heads of 32, and a vocabulary and widths that are no multiples of tiles. */
const USUAL_MODEL = { preset: 'small', contextLength: 256, batchTokens: 1024, microBatch: 2 };

/** The command `audit compile`. */
export async function auditCompile(
  terminal: Terminal,
  options: CompileCommandOptions,
  names: string[],
): Promise<CommandResult> {
  const { gpu, config: file, adapter, markdown = false, json: _, ...flags } = options;
  if (gpu.length > 0 && adapter !== undefined) throw new UserError('--gpu and --adapter: give one of them');
  const given = withFlags(file === undefined ? {} : readYaml(file), flags);
  const hasModel = file !== undefined || Object.keys(given).some(name => name !== 'precision');
  const fields = parseFields(hasModel ? given : { ...USUAL_MODEL, ...given }, `'${file}'`);
  const gpus: CompiledKernels[] = [];
  for (const name of gpu.length > 0 ? gpu : [undefined]) {
    terminal.note(name === undefined ? "compiling on this machine's adapter" : `compiling for ${name}, ${GPUS[name]}`);
    let progress: Progress | undefined;
    const found = await interruptible(
      () => {},
      signal =>
        compileKernels({
          gpu: name,
          models: [fields],
          names,
          adapter: adapter ?? fields.adapter,
          signal,
          onProgress(done, count, label) {
            progress ??= terminal.progress('compiling', count, 'kernels');
            progress.update(done, label);
          },
        }),
    ).finally(() => progress?.stop());
    const unknown = names.find(name => !found.kernels.some(({ label }) => label.startsWith(name)));
    if (unknown !== undefined) throw new UserError(`no kernel that the model runs begins with ${unknown}`);
    gpus.push(found);
    if (!markdown) showGpu(terminal, found);
  }
  if (markdown) terminal.print(markdownOf(gpus, [fields]));
  if (gpus.some(({ kernels }) => kernels.some(failureOf))) process.exitCode = 1;
  return { gpus };
}

function showGpu(terminal: Terminal, { adapter, kernels }: CompiledKernels): void {
  const { name, driver, subgroupSizes, subgroupMatrices, features } = adapter;
  terminal.print(`${name} (${driver})`);
  const matrices = new Set(
    subgroupMatrices.map(({ operand, result, M, N, K }) => `${operand} ${result} ${M}x${N}x${K}`),
  );
  terminal.print(
    `given to kernels: subgroups of ${showLanes(subgroupSizes)}; ` +
      `matrices ${[...matrices].join(', ') || 'none'}; ${features.filter(isOfKernels).join(', ')}`,
  );
  terminal.print(textTable(TABLE_HEAD, kernels.map(tableRows)));
  const missing = missingFigures(kernels);
  if (driverOf(driver) === undefined) terminal.print(`this driver prints nothing of what it compiles: no ${missing}`);
  else if (missing !== '') terminal.print(`this driver does not print ${missing}`);
  const spilled = kernels.filter(spilling).map(({ label }) => label);
  terminal.print(
    `${kernels.length} kernels, ${spilled.length} of them spill${spilled.length > 0 ? ': ' : ''}${spilled.join(', ')}`,
  );
  for (const kernel of kernels) if (failureOf(kernel)) terminal.print(`FAILED ${kernel.label}: ${failureOf(kernel)}`);
  terminal.print();
}

/** The features of an adapter that kernels can use. */
const isOfKernels = (feature: string): boolean => /^(shader-f16|subgroup|chromium-experimental-subgroup)/.test(feature);
