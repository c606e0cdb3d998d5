/** Weights that are damaged, incomplete or not supported: each file is refused by name, and nothing is written. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { exportModel } from '../../src/checkpoint/export.js';
import { findModelFolder } from '../../src/checkpoint/find.js';
import { checkModelFolder } from '../../src/checkpoint/model-folder.js';
import {
  type Json,
  LAYOUTS,
  packed,
  type RawTensor,
  safetensors,
  tensorsOf,
  writeCheckpoint,
} from '../support/checkpoints.js';
import { sharded, single, useCheckpoint } from '../support/damage.js';

const { root, folder, out, refused, refusedUnread } = useCheckpoint();

const weights = () => join(folder, 'model.safetensors');
const write = (tensors: ReadonlyMap<string, RawTensor>, edit?: (header: Json) => void) =>
  writeFileSync(weights(), safetensors(tensors, edit));
const offsets = (header: Json, name: string) => (header[name] as { data_offsets: [number, number] }).data_offsets;

test('the folder that the cases are made from is sound', async () => {
  checkModelFolder(folder);
  await exportModel(folder, out, { type: 'F16' });
  rmSync(out, { recursive: true });
});

describe('a safetensors file', () => {
  test('without a whole length', async () => {
    writeFileSync(weights(), Buffer.alloc(7));
    await refusedUnread(/model.safetensors' is cut off: 7 bytes are too few/);
  });

  test('cut off in its header, and in its tensors', async () => {
    const bytes = readFileSync(weights());
    writeFileSync(weights(), bytes.subarray(0, 200));
    await refusedUnread(/model.safetensors' is cut off within its header: \d+ bytes needed, 200 there/);
    writeFileSync(weights(), bytes.subarray(0, bytes.length - 1));
    await refusedUnread(/model.safetensors' is cut off: (\d+) bytes of tensors expected, \d+ there/);
  });

  test('with a header longer than the format allows, or empty', async () => {
    for (const size of [100_000_001n, 2n ** 63n, 0n]) {
      const bytes = Buffer.from(readFileSync(weights()));
      bytes.writeBigUInt64LE(size);
      writeFileSync(weights(), bytes);
      await refusedUnread(/is not a safetensors file: its header would be \d+ bytes long/);
    }
  });

  test('with a header that is not JSON, not an object, or has a damaged entry', async () => {
    const header = (text: string) => {
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(text.length));
      writeFileSync(weights(), Buffer.concat([length, Buffer.from(text)]));
    };
    header('{"model');
    await refusedUnread(/its header is not JSON/);
    header('[1, 2]');
    await refusedUnread(/the header is not a JSON object/);
    header('{"model.norm.weight": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}');
    await refusedUnread(/entry 'model.norm.weight' has no dtype, shape and offsets/);
  });

  test('with a gap, an overlap, or bytes at the end', async () => {
    const tensors = tensorsOf(single.config, 'BF16');
    const second = [...tensors.keys()][1]!;
    const move = (by: number) => (header: Json) => {
      offsets(header, second)[0] += by;
      offsets(header, second)[1] += by;
    };
    for (const by of [2, -2]) {
      write(tensors, move(by));
      await refusedUnread(new RegExp(`'${second}' starts at byte \\d+, expected \\d+ \\(gap or overlap\\)`));
    }
    write(tensors);
    writeFileSync(weights(), Buffer.concat([readFileSync(weights()), Buffer.alloc(4)]));
    await refusedUnread(/has 4 bytes after its last tensor/);
  });

  test('with offsets that are not as long as the shape', async () => {
    write(tensorsOf(single.config, 'BF16'), header => {
      (header['model.norm.weight'] as { shape: number[] }).shape = [2 ** 40, 2 ** 40];
    });
    await refusedUnread(
      /'model.norm.weight' \[1099511627776, 1099511627776\] BF16 takes .* bytes, its offsets span 96/,
    );
  });

  test('with a name too many, or one missing', async () => {
    const tensors = tensorsOf(single.config, 'BF16');
    const norm = tensors.get('model.norm.weight')!;
    write(new Map([...tensors, ['model.layers.0.self_attn.q_proj.bias', norm]]));
    await refusedUnread(/tensors that config.json does not call for: model.layers.0.self_attn.q_proj.bias$/);
    tensors.delete('model.norm.weight');
    write(tensors);
    await refusedUnread(/has no tensor 'model.norm.weight', which config.json calls for/);
    const { config } = LAYOUTS['Qwen2.5, BF16, tied, 3 heads to 1, biases']!;
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
    const biased = tensorsOf(config, 'BF16');
    biased.delete('model.layers.1.self_attn.k_proj.bias');
    write(biased);
    await refusedUnread(/has no tensor 'model.layers.1.self_attn.k_proj.bias', which config.json calls for/);
  });

  test('with a head beside tied embeddings: passed over where it is the embedding, else refused', async () => {
    const tensors = tensorsOf(single.config, 'BF16');
    const embedding = tensors.get('model.embed_tokens.weight')!;
    const withHead = (head: RawTensor) => write(new Map([...tensors, ['lm_head.weight', head]]));
    withHead(embedding);
    expect(checkModelFolder(folder)).toEqual([expect.stringMatching(/holds 'lm_head.weight' beside tied embeddings/)]);
    const notes: string[] = [];
    await exportModel(folder, out, { type: 'BF16', onNote: note => notes.push(note) });
    expect(notes).toHaveLength(1);
    expect(checkModelFolder(out)).toEqual([]);
    rmSync(out, { recursive: true });

    const bytes = Buffer.from(embedding.bytes);
    bytes[2 * (48 * 5 + 7)]! ^= 1; // the lowest bit of a value
    withHead({ ...embedding, bytes });
    await refusedUnread(/'lm_head.weight' that differs at \[5, 7\] from 'model.embed_tokens.weight', though .*: true/);
    withHead({ ...embedding, dtype: 'F16', bytes: Buffer.alloc(embedding.bytes.length) });
    await refusedUnread(/'lm_head.weight' that is F16, not BF16 as 'model.embed_tokens.weight'/);
  });

  test('with another shape than config.json makes it', async () => {
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...single.config, intermediate_size: 81 }));
    await refusedUnread(/'model.layers.0.mlp.gate_proj.weight' has shape \[80, 48\]; config.json makes it \[81, 48\]/);
  });

  test('with a type that is not supported, or unknown', async () => {
    const tensors = tensorsOf(single.config, 'BF16');
    const type = (dtype: string, width: number) =>
      new Map([...tensors, ['model.norm.weight', { dtype, shape: [48], bytes: new Uint8Array(48 * width) }]]);
    write(type('F8_E4M3', 1));
    await refusedUnread(/'model.norm.weight' is F8_E4M3; weights are read as F32, F16, BF16/);
    write(type('F64', 8));
    await refusedUnread(/'model.norm.weight' is F64; weights are read as F32, F16, BF16/);
    write(type('F4', 1));
    await refusedUnread(/'model.norm.weight' has the unknown type 'F4'/);
  });

  test('with rotary buffers, as old checkpoints of Llama 2 have them, is no fault', () => {
    const inverse = { dtype: 'F32', shape: [8], bytes: packed(new Float32Array(8).fill(0.5), 'F32') };
    write(new Map([...tensorsOf(single.config, 'BF16'), ['model.layers.0.self_attn.rotary_emb.inv_freq', inverse]]));
    checkModelFolder(folder);
  });

  test.each([
    ['BF16', 'NaN', [0xc1, 0x7f]],
    ['BF16', 'infinity', [0x80, 0xff]],
    ['F16', 'infinity', [0x00, 0x7c]],
    ['F32', 'NaN', [0x00, 0x00, 0xc0, 0x7f]],
  ] as const)('in %s with %s: tensor and index are named', async (dtype, _, value) => {
    const tensors = tensorsOf(single.config, dtype);
    const name = 'model.layers.1.mlp.up_proj.weight'; // [80, 48]
    tensors.get(name)!.bytes.set(value, (71 * 48 + 13) * value.length);
    write(tensors);
    await refused(
      /'model.layers.1.mlp.up_proj.weight' holds a value that is not finite \(NaN or infinity\) at \[71, 13\]/,
    );
  });

  test('with a value that f16 cannot hold: an export says which, and bf16 takes it', async () => {
    const tensors = tensorsOf(single.config, 'F32');
    new Float32Array(tensors.get('model.norm.weight')!.bytes.buffer)[5] = -70000;
    write(tensors);
    await refused(
      /'model.norm.weight' holds -70000 at \[5\], beyond the largest value of F16 \(65504\); export as another type/,
    );
    await exportModel(folder, out, { type: 'BF16' });
    rmSync(out, { recursive: true });
  });
});

describe('an index of shards', () => {
  const index = () => join(folder, 'model.safetensors.index.json');
  const edit = (change: (map: Record<string, string>) => void) => {
    const json = JSON.parse(readFileSync(index(), 'utf8')) as { weight_map: Record<string, string> };
    change(json.weight_map);
    writeFileSync(index(), JSON.stringify(json));
  };
  beforeEach(() => {
    writeCheckpoint(folder, sharded);
    checkModelFolder(folder);
  });

  test('that names a shard that is missing', async () => {
    rmSync(join(folder, 'model-00002-of-00002.safetensors'));
    await refusedUnread(
      /index.json' names the shard 'model-00002-of-00002.safetensors' for '[a-z.0-9_]+' and 9 more, but it is not there/,
    );
  });

  test('that places a tensor where it is not, or leaves one out', async () => {
    edit(map => {
      map['model.norm.weight'] = 'model-00002-of-00002.safetensors';
    });
    await refusedUnread(
      /has a tensor 'model.norm.weight' that '.*index.json' places in 'model-00002-of-00002.safetensors'/,
    );
    writeCheckpoint(folder, sharded);
    edit(map => {
      map['model.other.weight'] = 'model-00001-of-00002.safetensors';
    });
    await refusedUnread(/places 'model.other.weight' in 'model-00001-of-00002.safetensors', which has no such tensor/);
    writeCheckpoint(folder, sharded);
    edit(map => {
      delete map['model.norm.weight'];
    });
    await refusedUnread(/has a tensor 'model.norm.weight' that '.*index.json' does not list/);
  });

  test('that is no index, or leads out of the folder', async () => {
    edit(map => {
      map['model.norm.weight'] = '../elsewhere.safetensors';
    });
    await refusedUnread(
      /places 'model.norm.weight' in '..\/elsewhere.safetensors', which is not the name of a file beside it/,
    );
    writeFileSync(index(), '{"weight_map": []}');
    await refusedUnread(/index.json' has no weight_map/);
    writeFileSync(index(), '{"weight_map": {}}');
    await refusedUnread(/index.json' has an empty weight_map/);
    writeFileSync(index(), '{');
    await refusedUnread(/index.json' is not JSON/);
  });

  test('with a shard that is cut off', async () => {
    const shard = join(folder, 'model-00001-of-00002.safetensors');
    writeFileSync(shard, readFileSync(shard).subarray(0, -10));
    await refusedUnread(/model-00001-of-00002.safetensors' is cut off/);
  });
});

test('weights in a format that is not read are named', () => {
  rmSync(weights());
  writeFileSync(join(folder, 'pytorch_model.bin'), '');
  expect(() => findModelFolder(folder)).toThrow(/'.*model' has pytorch_model.bin, and only safetensors can be read/);
});

test('an export into a folder that holds something leaves it as it is', async () => {
  const kept = join(root, 'kept');
  writeCheckpoint(kept, single);
  const before = readFileSync(join(kept, 'model.safetensors'));
  await expect(exportModel(folder, kept, { type: 'F16' })).rejects.toThrow(/'.*kept' is there already/);
  const file = join(kept, 'model.safetensors');
  await expect(exportModel(folder, file, { type: 'F16' })).rejects.toThrow(/'.*safetensors' is there already/);
  expect(readFileSync(join(kept, 'model.safetensors')).equals(before)).toBe(true);
});
