/** Which works a benchmark can be asked for, and with which sizes. */
import { UserError } from '../src/errors.js';
import type { Device } from '../src/gpu/device.js';
import type { MatmulForm } from '../src/kernels/matmul-variant.js';
import { presetSize } from '../src/model/presets.js';
import type { Precision } from '../src/model/tensors.js';
import type { Work } from './work.js';
import { adamwWork } from './works/adamw.js';
import { attentionWork } from './works/attention.js';
import { matmulWork } from './works/matmul.js';
import { crossEntropyWork, rmsnormWork } from './works/rows.js';
import { scalingWorks } from './works/scaling.js';
import { modelConfig, stepWork } from './works/step.js';

/** Makes a work, checked and ready to be timed. */
export type MakeWork = (device: Device) => Promise<Work>;

interface Entry {
  /** What `--size` means. */
  readonly size: string;
  readonly sizes: readonly number[];
  make(size: number): readonly MakeWork[];
}

const FORMS: readonly MatmulForm[] = ['NT', 'NN', 'TN'];
const ROWS = { rmsnorm: 8192, crossEntropy: 1024 };
const STEP_VOCABULARY = 512;
const LARGE_VOCABULARY = 4096;

export interface StepSize {
  readonly preset: string;
  readonly vocabulary: number;
  readonly B: number;
  readonly T: number;
  readonly precision?: Precision;
}

/** Hidden 128, 4 layers, 4 heads, MLP 344; the head is a matrix of its own. */
export const STEP: StepSize = { preset: 'small', vocabulary: STEP_VOCABULARY, B: 8, T: 128 };

const makeStep =
  ({ preset, vocabulary, B, T, precision = 'f32' }: StepSize): MakeWork =>
  device =>
    stepWork(
      device,
      modelConfig(presetSize(preset), vocabulary, false, T),
      { B, T },
      { name: `step ${preset} V ${vocabulary} T ${T}${precision === 'f16' ? ' f16' : ''}`, precision },
    );

const CATALOGUE: Readonly<Record<string, Entry>> = {
  matmul: {
    size: 'M = N = K',
    sizes: [256, 512, 1024],
    make: size => FORMS.map(form => device => matmulWork(device, form, size)),
  },
  attention: {
    size: 'context length T, with B 1, 8 heads of 64',
    sizes: [256],
    make: T => [device => attentionWork(device, { B: 1, T, H: 8, KV: 8, D: 64 })],
  },
  adamw: { size: 'parameters', sizes: [2 ** 22], make: count => [device => adamwWork(device, count)] },
  rmsnorm: {
    size: `columns, of ${ROWS.rmsnorm} rows`,
    sizes: [512],
    make: columns => [device => rmsnormWork(device, ROWS.rmsnorm, columns)],
  },
  'cross-entropy': {
    size: `vocabulary, of ${ROWS.crossEntropy} rows`,
    sizes: [4096],
    make: vocabulary => [device => crossEntropyWork(device, ROWS.crossEntropy, vocabulary)],
  },
  step: {
    size: 'context length T',
    sizes: [STEP.T],
    make: T => [makeStep({ ...STEP, T }), makeStep({ ...STEP, T, vocabulary: LARGE_VOCABULARY })],
  },
};

/** Names beside those of single works: what each stands for. */
const SETS = {
  gpu: 'named alone: all that is to be known of a hardware GPU, in eight minutes',
  scaling: 'steps of growing width and context: time per FLOP, memory',
  peers: 'the same work on other engines, each in a process of its own',
  all: 'every work, scaling and peers',
} as const;

export const workNames: readonly string[] = [...Object.keys(CATALOGUE), ...Object.keys(SETS)];
const ALL = [...Object.keys(CATALOGUE), 'scaling', 'peers'];

export interface Selection {
  /** In-process works, the ceilings not among them. */
  readonly works: readonly MakeWork[];
  readonly peers: boolean;
}

/**
 * @param names none for every work but scaling and peers.
 * @throws UserError for a name that there is not, or sizes without exactly one work that has them.
 */
export function select(names: readonly string[], sizes?: readonly number[]): Selection {
  const unknown = names.find(name => !workNames.includes(name));
  if (unknown !== undefined) throw new UserError(`no benchmark '${unknown}'; there are ${workNames.join(', ')}`);
  if (sizes) {
    const entry = names.length === 1 ? CATALOGUE[names[0]!] : undefined;
    if (!entry) {
      throw new UserError(`--size goes with one of ${Object.keys(CATALOGUE).join(', ')}, named alone`);
    }
    return { works: sizes.flatMap(size => entry.make(size)), peers: false };
  }
  if (names.includes('gpu')) throw new UserError("'gpu' is named alone: it measures by itself");
  const asked = new Set(
    names.length === 0 ? Object.keys(CATALOGUE) : names.flatMap(name => (name === 'all' ? ALL : name)),
  );
  if (asked.has('peers')) asked.add('adamw'); // whose share of the copy ceiling belongs to the comparison
  const works = [...asked].flatMap((name): readonly MakeWork[] => {
    if (name === 'scaling') return scalingWorks();
    const entry = CATALOGUE[name];
    return entry ? entry.sizes.flatMap(size => entry.make(size)) : [];
  });
  return { works, peers: asked.has('peers') };
}

/** Lines for the command's help. */
export const describeWorks = (): string[] => [
  ...Object.entries(CATALOGUE).map(
    ([name, { size, sizes }]) => `${name}: --size is ${size}; ${sizes.join(', ')} if not given`,
  ),
  ...Object.entries(SETS).map(([name, description]) => `${name}: ${description}`),
];
