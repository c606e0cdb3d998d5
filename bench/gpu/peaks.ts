/** What a GPU reaches at most, by its maker: TFLOP/s of dense products, f16 with sums in f32 on tensor cores. */
import type { Precision } from '../../src/model/tensors.js';

export interface Peak {
  readonly flops: Readonly<Record<Precision, number>>;
  readonly source: string;
}

/** By the adapter's name; of data sheets, boost clocks. The first that matches counts. */
const SHEETS: readonly (readonly [name: RegExp, f32: number, f16: number])[] = [
  [/H100.*PCIe/i, 51.2, 756],
  [/GH200|H[12]00/i, 66.9, 989.4],
  [/A100/i, 19.5, 312],
  [/L40S/i, 91.6, 362],
  [/\bL4\b/i, 30.3, 121],
  [/V100/i, 15.7, 125],
  [/\bT4\b/i, 8.1, 65],
  [/RTX 5090/i, 104.8, 209.5],
  [/RTX 4090/i, 82.6, 165.2],
  [/RTX 3090 Ti/i, 40, 80],
  [/RTX 3090/i, 35.6, 71],
  [/RX 7900 XTX|NAVI31/i, 61.4, 122.8],
];

/** The data sheet's peak or, of a GPU that is not listed, the multiply-add loop of this run in GFLOP/s, for both. */
export function peakOf(adapter: string, measuredGflops: number | undefined): Peak | undefined {
  const sheet = SHEETS.find(([name]) => name.test(adapter));
  if (sheet) return { flops: { f32: 1000 * sheet[1], f16: 1000 * sheet[2] }, source: "the maker's data sheet" };
  if (measuredGflops === undefined) return undefined;
  return { flops: { f32: measuredGflops, f16: measuredGflops }, source: 'the multiply-add ceiling of this run' };
}
