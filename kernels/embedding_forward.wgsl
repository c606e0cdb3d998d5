// y[r, c] = table[ids[r], c];  table [V, C], ids [R], y [R, C]. A workgroup takes ROWS rows. The host checks ids < V.
// The table is f32 or f16 (TABLE_TYPE), or with TABLE_BFLOAT bf16, in words of two; y is f32. Rows are taken by vectors
// where they are whole ones (IS_VECTOR; TABLE_TYPE and VALUE are such vectors); `columns` is in vectors.
// The table may be a window, entries first … first+entries-1: rows of other ids are left alone.
struct Params { rows: u32, columns: u32, first: u32, entries: u32 }

var<storage, read> ids: array<u32>;
#include lib/bfloat.wgsl
#if ${TABLE_BFLOAT}
#if ${IS_VECTOR}
var<storage, read> table: array<vec2u>;
fn table_at(i: u32) -> VALUE { return VALUE(unpack2x16bfloat(table[i].x), unpack2x16bfloat(table[i].y)); }
#else
var<storage, read> table: array<u32>;
fn table_at(i: u32) -> VALUE { return unpack2x16bfloat(table[i / 2u])[i % 2u]; }
#endif
#else
var<storage, read> table: array<TABLE_TYPE>;
fn table_at(i: u32) -> VALUE { return VALUE(table[i]); }
#endif
var<storage, read_write> y: array<VALUE>;
var<uniform> params: Params;

fn take_row(row: u32, thread: u32) {
  let C = params.columns;
  let entry = ids[row] - params.first; // wraps around below the window
  if (entry >= params.entries) { return; }
  let start = entry * C;
  for (var c = thread; c < C; c += WORKGROUP) { y[row * C + c] = table_at(start + c); }
}

#include lib/each_row.wgsl
