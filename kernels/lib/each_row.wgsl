// A workgroup takes ROWS rows, one after another, by the kernel's take_row(row, thread): on a CPU starting a workgroup
// costs as much as a short row. ONE_ROW: there is one, and no loop.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let first = (workgroup.y * grid.x + workgroup.x) * ROWS;
#if ${ONE_ROW}
  if (first < params.rows) { take_row(first, thread); }
#else
  let last = min(first + ROWS, params.rows);
  for (var row = first; row < last; row++) { take_row(row, thread); }
#endif
}
