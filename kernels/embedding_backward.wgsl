// dtable[v, c] += sum over the rows r with ids[r] = v of dy[r, c];  dy [R, C], dtable [V, C].
// dtable is f32 or f16 (TABLE_VALUE), all else f32; sums in f32, what is there among them, are rounded once.
// Deterministic without atomics: the host sorts the rows by id (stable). order [R] lists them; group s is
// order[starts[s]] … order[starts[s+1]-1], all of one id; starts [R+1] ends in empty groups. Whoever takes group s
// owns a row of the table, and adds in order; a workgroup takes ROWS groups. The table may be a window, entries
// first … first+entries-1. Rows are taken by vectors where they are whole ones (VALUE); `columns` is in vectors.
struct Params { rows: u32, columns: u32, first_entry: u32, entries: u32 }

var<storage, read> ids: array<u32>;
var<storage, read> order: array<u32>;
var<storage, read> starts: array<u32>;
var<storage, read> dy: array<VALUE>;
var<storage, read_write> dtable: array<TABLE_VALUE>;
var<uniform> params: Params;

fn take_row(group: u32, thread: u32) {
  let first = starts[group];
  let last = starts[group + 1u];
  if (first >= last) { return; }
  let C = params.columns;
  let entry = ids[order[first]] - params.first_entry; // wraps around below the window
  if (entry >= params.entries) { return; }
  let start = entry * C;
  for (var c = thread; c < C; c += WORKGROUP) {
    var sum = VALUE();
    for (var i = first; i < last; i++) { sum += dy[order[i] * C + c]; }
    dtable[start + c] = TABLE_VALUE(VALUE(dtable[start + c]) + sum);
  }
}

#include lib/each_row.wgsl
