// Puts the keys and values of new positions into the cache that later positions attend to: with p = starts[b] + t,
//   keys[b, g, d, p] = k[b, t, g, d],   values[b, g, p, d] = v[b, t, g, d].
// qkv [B, T, H + 2 KV, D] holds q, k (rotated already) and v side by side; keys [B, KV, D, capacity], so that
// neighbouring threads read neighbouring positions in attention_cached; values [B, KV, capacity, D]. f32 or f16 (TYPE),
// copied as they are. Positions beyond the capacity are dropped. A row is a position of a sequence; a workgroup takes
// ROWS of them.
// IS_RING: a position p stands at p % capacity, over the one that many before it. HAS_LAST_ROWS: of each sequence the
// rows up to last_rows[b] alone, the newest that there is room for, so that no two of them have one place.
struct Params { rows: u32, T: u32, H: u32, KV: u32, capacity: u32 }

var<storage, read> qkv: array<TYPE>;
var<storage, read> starts: array<u32>;
#if ${HAS_LAST_ROWS}
var<storage, read> last_rows: array<u32>;
#endif
var<storage, read_write> keys: array<TYPE>;
var<storage, read_write> values: array<TYPE>;
var<uniform> params: Params;

const D = HEAD_SIZE;

fn take_row(row: u32, thread: u32) {
  let capacity = params.capacity;
  let batch = row / params.T;
#if ${HAS_LAST_ROWS}
  let last = last_rows[batch];
  if (row > last || row + capacity <= last) { return; }
#endif
#if ${IS_RING}
  let position = (starts[batch] + row % params.T) % capacity;
#else
  let position = starts[batch] + row % params.T;
  if (position >= capacity) { return; }
#endif
  let width = params.KV * D;
  let k_row = row * (params.H + 2u * params.KV) * D + params.H * D;
  for (var i = thread; i < width; i += WORKGROUP) {
    let at = batch * width + i; // head and dimension, of this sequence
    keys[at * capacity + position] = qkv[k_row + i];
    values[((at / D) * capacity + position) * D + i % D] = qkv[k_row + width + i];
  }
}

#include lib/each_row.wgsl
