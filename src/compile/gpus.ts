/**
 * The GPUs whose compilers can run without them (tools/gpu-compilers.sh), how their drivers are made to print, and
 * figures of their hardware.
 */

/** A driver of Mesa, by the part of WebGPU's description that names it. */
export type DriverName = 'radv' | 'nvk' | 'honeykrisp' | 'turnip';

/** A shader that Mesa's cache has is not compiled, and nothing is said of it. */
export const NO_CACHE: Readonly<Record<string, string>> = { MESA_SHADER_CACHE_DISABLE: 'true' };

/** What makes drivers write what they make of a shader to stderr; each looks at its own variables alone. */
export const DRIVER_VARIABLES: Readonly<Record<string, string>> = {
  RADV_DEBUG: 'shaders,shaderstats,nocache',
  NAK_DEBUG: 'print',
  AGX_MESA_DEBUG: 'shaderdb,nocache',
  IR3_SHADER_DEBUG: 'cs,nocache',
};

/** Returns the driver of an adapter, where it is one that can print what it makes of a shader. */
export function driverOf(description: string): DriverName | undefined {
  const text = description.toLowerCase();
  const names: readonly DriverName[] = ['radv', 'nvk', 'honeykrisp', 'turnip'];
  return names.find(name => text.includes(name));
}

/** Rates of one compute unit, streaming multiprocessor or core in a cycle, and the figures of a whole product. */
export interface Machine {
  /** The product that the figures are of. */
  readonly product: string;
  readonly units: number;
  readonly gigahertz: number;
  readonly gigabytesPerSecond: number;
  /** The lanes that do a multiply-add in f32. AMD's dual issue is left out. */
  readonly fmaLanes: number;
  /** The lanes of instructions that can be issued: on AMD vector instructions alone, on NVIDIA all. */
  readonly issueLanes: number;
  /** The bytes that workgroup memory gives or takes. */
  readonly workgroupBytes: number;
  /** The multiply-adds of f16 matrices with sums in f32; 0 where there are none. */
  readonly matrixFmas: number;
}

/**
 * Units, clocks (boost) and bandwidth are the vendors' specifications. Rates a cycle are AMD's ISA and architecture
 * guides and NVIDIA's architecture papers; matrix rates are the specified TFLOPS over units and clock, and on GeForce
 * those with sums in f32, which are half of those with sums in f16. Turing's workgroup memory, half as wide as that of
 * its neighbours, is from "Dissecting the NVidia Turing T4 GPU via Microbenchmarking" (Jia et al., 2019, arXiv
 * 1903.07486).
 */
const MACHINES: Readonly<Record<string, readonly [string, number, number, number, number, number, number, number]>> = {
  navi21: ['RX 6800', 60, 2.105, 512, 64, 64, 128, 0],
  navi31: ['RX 7900 XTX', 96, 2.5, 960, 64, 64, 128, 256],
  gfx1201: ['RX 9070 XT', 64, 2.97, 640, 64, 64, 128, 512],
  vega10: ['RX Vega 64', 64, 1.546, 484, 64, 64, 128, 0],
  tu102: ['RTX 2080 Ti', 68, 1.545, 616, 64, 128, 64, 256],
  ga102: ['RTX 3090', 82, 1.695, 936, 128, 128, 128, 256],
};

/** Returns the figures of a GPU; undefined where its driver prints no instructions to hold against them. */
export function machineOf(gpu: string): Machine | undefined {
  const figures = MACHINES[gpu];
  if (!figures) return undefined;
  const [product, units, gigahertz, gigabytesPerSecond, fmaLanes, issueLanes, workgroupBytes, matrixFmas] = figures;
  return { product, units, gigahertz, gigabytesPerSecond, fmaLanes, issueLanes, workgroupBytes, matrixFmas };
}

/** The names by which tools/gpu-compilers.sh knows the GPUs, and what they are. */
export const GPUS: Readonly<Record<string, string>> = {
  navi21: 'AMD RDNA2',
  navi31: 'AMD RDNA3',
  gfx1201: 'AMD RDNA4',
  vega10: 'AMD GCN 5',
  tu102: 'NVIDIA Turing',
  ga102: 'NVIDIA Ampere',
  m1: 'Apple M1',
  adreno740: 'Qualcomm Adreno 740',
};
