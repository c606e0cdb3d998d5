/**
 * Subgroups of as many lanes as a test asks for, on adapters that have fewer: subgroup operations that go through
 * workgroup memory.
 */
import type { Alter } from '../../src/cases/bench.js';

const INDEX = /@builtin\(local_invocation_index\) (\w+): u32/;
const LANE = /,?\s*@builtin\(subgroup_invocation_id\) (\w+): u32/;

/** WGSL lets a module declare functions by the names of built-in ones, and then means these. */
const functions = (lanes: number, threads: number): string =>
  [
    `const WIDE_LANES = ${lanes}u;`,
    'var<private> wide_thread: u32;',
    `var<workgroup> wide_values: array<u32, ${threads}>;`,
    'fn wide_share(bits: u32) {',
    '  workgroupBarrier();', // what was shared before has been read
    '  wide_values[wide_thread] = bits;',
    '  workgroupBarrier();',
    '}',
    'fn wide_value(lane: u32) -> u32 { return wide_values[wide_thread / WIDE_LANES * WIDE_LANES + lane]; }',
    'fn subgroupBroadcast(value: f32, lane: u32) -> f32 {',
    '  wide_share(bitcast<u32>(value));',
    '  return bitcast<f32>(wide_value(lane));',
    '}',
    'fn subgroupShuffleXor(value: f32, mask: u32) -> f32 {',
    '  wide_share(bitcast<u32>(value));',
    '  return bitcast<f32>(wide_value((wide_thread % WIDE_LANES) ^ mask));',
    '}',
    'fn subgroupAdd(value: f32) -> f32 {',
    '  wide_share(bitcast<u32>(value));',
    '  var sum = 0f;',
    '  for (var i = 0u; i < WIDE_LANES; i++) { sum += bitcast<f32>(wide_value(i)); }',
    '  return sum;',
    '}',
    'fn subgroupMax(value: f32) -> f32 {',
    '  wide_share(bitcast<u32>(value));',
    '  var largest = value;',
    '  for (var i = 0u; i < WIDE_LANES; i++) { largest = max(largest, bitcast<f32>(wide_value(i))); }',
    '  return largest;',
    '}',
    'fn subgroupOr(value: u32) -> u32 {',
    '  wide_share(value);',
    '  var bits = 0u;',
    '  for (var i = 0u; i < WIDE_LANES; i++) { bits |= wide_value(i); }',
    '  return bits;',
    '}',
  ].join('\n');

/**
 * Rewrites calls that rely on subgroups of `lanes`, whose workgroups have at most `threads` threads. Lanes are threads
 * in the order of their index, as they are on GPUs for the workgroups of one dimension that kernels have.
 */
export function wideLanes(lanes: number, threads: number): Alter {
  return call => {
    if (call.lanes === undefined) return call;
    const source = call.source.replace(/fn main\(([^{]*)\)\s*\{/, (_, given: string) => {
      const index = INDEX.exec(given)?.[1] ?? 'wide_index';
      const lane = LANE.exec(given)?.[1];
      const kept = given.replace(LANE, '');
      const inputs = INDEX.test(kept) ? kept : `${kept}, @builtin(local_invocation_index) ${index}: u32`;
      const ofLane = lane ? ` let ${lane} = ${index} % WIDE_LANES;` : '';
      return `fn main(${inputs}) { wide_thread = ${index};${ofLane}`;
    });
    return { ...call, source: `${source}\n${functions(lanes, threads)}\n`, lanes: undefined };
  };
}
