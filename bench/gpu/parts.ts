/** What `bench gpu` measures, part by part, and the same at sizes that a software adapter runs in a minute or two. */
import type { Device } from '../../src/gpu/device.js';
import type { MatmulForm } from '../../src/kernels/matmul-variant.js';
import type { VariantTable } from '../../src/kernels/variants.js';
import type { ModelConfig } from '../../src/model/config.js';
import type { BatchShape } from '../../src/model/llama.js';
import { presetSize } from '../../src/model/presets.js';
import type { Precision } from '../../src/model/tensors.js';
import type { CudaTask } from '../engines/protocol.js';
import type { Work } from '../work.js';
import { adamwWork } from '../works/adamw.js';
import { attentionWork } from '../works/attention.js';
import { matmulWork } from '../works/matmul.js';
import { crossEntropyWork, rmsnormWork } from '../works/rows.js';
import { gradientWork, modelConfig, stepWork } from '../works/step.js';

/** One work, and what PyTorch is asked for beside it. */
export interface Compared {
  readonly name: string;
  make(device: Device, variants: VariantTable): Promise<Work>;
  /** By the name of the engine. */
  readonly peers: Readonly<Record<string, CudaTask>>;
}

/** Works that are made together, tuned, and timed in turns. */
export interface Part {
  readonly name: string;
  readonly works: readonly Compared[];
}

export interface GpuSizes {
  readonly products: readonly number[];
  readonly attention: { readonly B: number; readonly T: number; readonly H: number; readonly D: number };
  readonly parameters: number;
  readonly rows: number;
  readonly columns: number;
  readonly vocabulary: number;
  readonly model: ModelConfig;
  readonly batch: BatchShape;
  /** A forward and backward pass over one sequence: a name, and its model. */
  readonly passName: string;
  readonly small: ModelConfig;
  readonly sequence: number;
  /** What the audit poses; all kernels unless given. */
  readonly audited?: readonly string[];
}

const smol = (more: Partial<ModelConfig> = {}): ModelConfig => ({
  vocabSize: 49_152,
  hiddenSize: 576,
  intermediateSize: 1536,
  numHiddenLayers: 30,
  numAttentionHeads: 9,
  numKeyValueHeads: 3,
  headDim: 64,
  rmsNormEps: 1e-5,
  ropeTheta: 100_000,
  tieWordEmbeddings: true,
  maxPositionEmbeddings: 2048,
  ...more,
});

export const FULL: GpuSizes = {
  products: [1024, 4096],
  attention: { B: 4, T: 1024, H: 16, D: 64 },
  parameters: 2 ** 25,
  rows: 8192,
  columns: 1024,
  vocabulary: 32_000,
  model: modelConfig(presetSize('125M'), 32_000, false, 1024),
  batch: { B: 4, T: 1024 },
  // by which kvark/inferena compares engines
  passName: 'SmolLM2-135M',
  small: smol(),
  sequence: 128,
};

/** To see the whole command work where there is no GPU. */
export const TRIAL: GpuSizes = {
  products: [33],
  attention: { B: 1, T: 33, H: 2, D: 16 },
  parameters: 1000,
  rows: 9,
  columns: 65,
  vocabulary: 97,
  model: modelConfig(presetSize('tiny'), 97, false, 16),
  batch: { B: 2, T: 16 },
  passName: 'tiny',
  small: smol({
    vocabSize: 97,
    hiddenSize: 48,
    intermediateSize: 64,
    numHiddenLayers: 2,
    headDim: 16,
    numAttentionHeads: 3,
    numKeyValueHeads: 1,
  }),
  sequence: 16,
  audited: ['add', 'rope', 'adamw'],
};

const FORMS: readonly MatmulForm[] = ['NT', 'NN', 'TN'];
const PRECISIONS: readonly Precision[] = ['f32', 'f16'];
export const PYTORCH = 'PyTorch';
export const PYTORCH_COMPILED = 'PyTorch, compiled';

const suffix = (precision: Precision): string => (precision === 'f16' ? ' f16' : '');

export function partsOf(sizes: GpuSizes): Part[] {
  const { attention, parameters, rows, columns, vocabulary, model, batch, passName, small, sequence } = sizes;
  const steps = (name: string, config: ModelConfig, shape: BatchShape, precision: Precision, update: boolean): Part => {
    const label = `${name}${suffix(precision)}`;
    const task = (compiled: boolean): CudaTask => ({
      ...{ name: `${label} ${compiled}`, work: 'step', ...shape, model: config, precision, compiled, update },
    });
    const make = update ? stepWork : gradientWork;
    return {
      name: label,
      works: [
        {
          name: label,
          make: (device, variants) => make(device, config, shape, { name: label, precision, variants }),
          peers: { [PYTORCH]: task(false), [PYTORCH_COMPILED]: task(true) },
        },
      ],
    };
  };
  return [
    ...PRECISIONS.map((precision): Part => {
      const works = sizes.products.flatMap(size =>
        FORMS.map((form): Compared => {
          const name = `matmul ${form} ${size}${suffix(precision)}`;
          return {
            name,
            make: (device, variants) => matmulWork(device, form, size, { precision, variants }),
            peers: { [PYTORCH]: { name, work: 'matmul', form, size, precision } },
          };
        }),
      );
      return { name: `products${suffix(precision)}`, works };
    }),
    {
      name: 'attention',
      works: PRECISIONS.map(precision => {
        const name = `attention T ${attention.T}${suffix(precision)}`;
        return {
          name,
          make: (device, variants) => attentionWork(device, { ...attention, KV: attention.H }, { precision, variants }),
          peers: { [PYTORCH]: { name, work: 'attention', ...attention, precision } },
        };
      }),
    },
    {
      name: 'memory',
      works: [
        {
          name: `adamw ${parameters}`,
          make: (device, variants) => adamwWork(device, parameters, { variants }),
          peers: { [PYTORCH]: { name: 'adamw', work: 'adamw', count: parameters } },
        },
        {
          name: `rmsnorm ${rows} x ${columns}`,
          make: (device, variants) => rmsnormWork(device, rows, columns, { variants }),
          peers: {},
        },
        {
          name: `cross-entropy ${Math.ceil(rows / 8)} x ${vocabulary}`,
          make: (device, variants) => crossEntropyWork(device, Math.ceil(rows / 8), vocabulary, { variants }),
          peers: {},
        },
      ],
    },
    // one model after the other, since weights and reference of each are kept while its works follow each other
    ...PRECISIONS.map(precision =>
      steps(`${passName} T ${sequence}, forward + backward`, small, { B: 1, T: sequence }, precision, false),
    ),
    ...PRECISIONS.map(precision => steps(`step, B ${batch.B} T ${batch.T}`, model, batch, precision, true)),
  ];
}
