// A workgroup takes ROWS rows, one after another, by the kernel's take_row(row, thread): on a CPU starting a workgroup
// costs as much as a short row.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let first = (workgroup.y * grid.x + workgroup.x) * ROWS;
  let last = min(first + ROWS, params.rows);
  for (var row = first; row < last; row++) { take_row(row, thread); }
}
