/** Reads a safetensors file of f32 tensors whole: a reader apart from the project's own. */
import { readFileSync } from 'node:fs';

export function readTensors(path: string): Map<string, Float32Array> {
  const bytes = readFileSync(path);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString()) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .map(
        ([
          name,
          {
            data_offsets: [start, end],
          },
        ]) => [
          name,
          new Float32Array(new Uint8Array(bytes.subarray(8 + headerBytes + start, 8 + headerBytes + end)).buffer),
        ],
      ),
  );
}
