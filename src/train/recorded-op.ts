/**
 * An op of a training step with everything that it ran on, to be run again: its kernels as they were compiled, and the
 * bytes of its buffers. A file of it has eight bytes of header length, a JSON header, then the buffers' bytes.
 */
import { z } from 'zod';
import type { Node } from '../autograd/graph.js';
import type { Plan } from '../autograd/plan.js';
import { bytesOf, sizeOf } from '../autograd/tensor.js';
import { UserError } from '../errors.js';
import { writeFileWhole } from '../files.js';
import type { BufferRange, DeviceBuffer } from '../gpu/buffer.js';
import type { Device } from '../gpu/device.js';
import { parseJson, readBytes } from '../input-files.js';
import { grid, type KernelCall } from '../kernels/call.js';
import { ELEMENT_TYPES } from '../kernels/element-type.js';
import { interfaceOf } from '../kernels/interface.js';
import type { VariantTable } from '../kernels/variants.js';
import { inWords, whyInvalid } from '../schema.js';

const FORMAT = 'babelgrad-op-1';

const paramSchema = z.union([z.number(), z.object({ f32: z.number() })]);
const typeSchema = z.enum(ELEMENT_TYPES);
const headerSchema = z.object({
  format: z.literal(FORMAT),
  op: z.string(),
  adapter: z.string(),
  /** What was not finite; the value is text, since JSON has no NaN. */
  found: z.object({ tensor: z.string(), index: z.number(), value: z.string() }),
  buffers: z.array(z.object({ name: z.string(), sizeBytes: z.number(), type: typeSchema })),
  /** What the op makes or adds to: elements from the start of a buffer. */
  results: z.array(z.object({ name: z.string(), buffer: z.number(), type: typeSchema, count: z.number() })),
  calls: z.array(
    z.object({
      label: z.string(),
      source: z.string(),
      params: z.array(paramSchema),
      workgroups: z.tuple([z.number(), z.number(), z.number()]),
      buffers: z.array(z.object({ buffer: z.number(), offsetBytes: z.number(), sizeBytes: z.number() })),
    }),
  ),
});
type Header = z.infer<typeof headerSchema>;

/** A recorded op with the `contents` of its `buffers` before the op. */
export type RecordedOp = Omit<Header, 'format'> & { readonly contents: readonly Uint8Array[] };

/**
 * Records a node of a plan whose temporary tensors have buffers of their own, as they are now: before it runs. If
 * weights share a buffer, the stretch that the node reads is kept.
 */
export async function recordOp(
  device: Device,
  variants: VariantTable,
  plan: Plan,
  node: Node,
  { tensor, index, value }: { readonly tensor: string; readonly index: number; readonly value: number },
): Promise<RecordedOp> {
  const calls = node.launch(variants, operand => plan.rangeOf(operand), node.results);
  const updated = [...node.results, ...(node.updates ?? [])];
  const bound = calls.flatMap(({ buffers }) => Object.values(buffers));
  // calls may bind a window of a result, which is told whole
  const whole = updated
    .map(result => plan.rangeOf(result))
    .filter(({ buffer }) => bound.some(b => b.buffer === buffer));
  const kept = stretchesOf([...bound, ...whole]);
  const placeOf = ({ buffer, offsetBytes, sizeBytes }: BufferRange) => {
    const index = kept.findIndex(stretch => stretch.buffer === buffer);
    return { buffer: index, offsetBytes: offsetBytes - kept[index]!.offsetBytes, sizeBytes };
  };
  const contents: Uint8Array[] = [];
  for (const { buffer, offsetBytes, sizeBytes } of kept) {
    contents.push(new Uint8Array(await device.read(buffer, offsetBytes, sizeBytes)));
  }
  return {
    op: node.op,
    adapter: device.adapter.name,
    found: { tensor, index, value: String(value) },
    buffers: kept.map(({ buffer, sizeBytes }) => {
      const tensor = [...node.inputs, ...updated].find(operand => plan.rangeOf(operand).buffer === buffer);
      return { name: tensor?.name ?? buffer.label, sizeBytes, type: tensor?.dtype ?? 'f32' };
    }),
    results: updated
      .filter(result => kept.some(({ buffer }) => buffer === plan.rangeOf(result).buffer) && bytesOf(result) > 0)
      .map(result => ({
        name: result.name,
        buffer: placeOf(plan.rangeOf(result)).buffer,
        type: result.dtype,
        count: sizeOf(result.shape),
      })),
    calls: calls.map(({ label, source, params, workgroups, buffers: ranges }) => ({
      label,
      source,
      params: fieldsOf(source).map(({ name, type }) => (type === 'f32' ? { f32: params[name]! } : params[name]!)),
      workgroups: [...workgroups],
      buffers: bindingNames(source).map(name => placeOf(ranges[name]!)),
    })),
    contents,
  };
}

const fieldsOf = (source: string) => interfaceOf(source).params?.fields ?? [];

/** Returns the names of a kernel's bindings, in the order of their numbers. */
const bindingNames = (source: string): string[] =>
  [...interfaceOf(source).bindings].sort(([, a], [, b]) => a.number - b.number).map(([name]) => name);

/** Returns a recorded call on buffers that hold the recorded contents. */
export function callOfRecord(
  { label, source, params, workgroups, buffers: places }: RecordedOp['calls'][number],
  buffers: readonly DeviceBuffer[],
): KernelCall {
  const ranges = places.map(({ buffer, ...range }): BufferRange => ({ ...range, buffer: buffers[buffer]! }));
  const values = params.map(param => (typeof param === 'number' ? param : param.f32));
  return {
    label,
    source,
    workgroups: grid(label, ...workgroups),
    params: Object.fromEntries(fieldsOf(source).map(({ name }, i) => [name, values[i]!])),
    buffers: Object.fromEntries(bindingNames(source).map((name, i) => [name, ranges[i]!])),
  };
}

/** Returns for each buffer the stretch that holds all its ranges. */
function stretchesOf(ranges: readonly BufferRange[]): BufferRange[] {
  return [...new Set(ranges.map(({ buffer }) => buffer))].map(buffer => {
    const within = ranges.filter(range => range.buffer === buffer);
    const offsetBytes = Math.min(...within.map(range => range.offsetBytes));
    const end = Math.max(...within.map(range => range.offsetBytes + range.sizeBytes));
    return { buffer, offsetBytes, sizeBytes: end - offsetBytes };
  });
}

export function writeOp(path: string, { contents, ...rest }: RecordedOp): void {
  const header = Buffer.from(JSON.stringify({ format: FORMAT, ...rest }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeFileWhole(path, Buffer.concat([length, header, ...contents]));
}

/** Whether a file begins like a recorded op, and not like JSON. @throws UserError when it is not there. */
export function isOpFile(path: string): boolean {
  return readBytes(path)[0] !== '{'.charCodeAt(0);
}

/** Reads a recorded op. @throws UserError when the file is none, or cut off. */
export function readOp(path: string): RecordedOp {
  const bytes = readBytes(path);
  try {
    const start = 8 + Number(bytes.readBigUInt64LE());
    const { format: _, ...header } = headerSchema.parse(parseJson(bytes.subarray(8, start).toString()), inWords);
    let at = start;
    const contents = header.buffers.map(({ sizeBytes }) => {
      at += sizeBytes;
      return new Uint8Array(bytes.subarray(at - sizeBytes, at));
    });
    const named = [...header.results, ...header.calls.flatMap(({ buffers }) => buffers)];
    const beyond = named.find(({ buffer }) => !(buffer in header.buffers));
    if (beyond) throw new Error(`there is no buffer ${beyond.buffer}`);
    if (at !== bytes.length) throw new Error(`${at} bytes expected, ${bytes.length} there`);
    return { ...header, contents };
  } catch (error) {
    throw new UserError(
      `'${path}' is not an op that a run kept (${FORMAT}), nor an audit's problem: ${whyInvalid(error)}`,
    );
  }
}
