// y[r, c] = x[r, c] * rstd[r] * weight[c], rstd[r] = 1 / sqrt(mean_c(x²) + eps);  x, y [R, C], weight [C], rstd [R].
// A workgroup takes ROWS rows, VECTOR elements of each at a time (C is a multiple of it), and loads the weight once for
// all of them. With UNIT_OFFSET it is taken as 1 + weight. y is f32 or f16 (Y_VALUE), all else f32. rstd is kept for
// the backward pass.
struct Params { rows: u32, columns: u32, eps: f32 }

var<storage, read> x: array<VALUE>;
var<storage, read> weight: array<VALUE>;
var<storage, read_write> y: array<Y_VALUE>;
var<storage, read_write> rstd: array<f32>;
var<uniform> params: Params;

#include lib/reduce.wgsl
#include lib/vector.wgsl

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let first = (workgroup.y * grid.x + workgroup.x) * ROWS;
  if (first >= params.rows) { return; } // a grid that is folded may have some more
  let C = params.columns / VECTOR;
  // rows beyond the last are the last once more
  #for r in ROWS
  let row_${r} = min(first + ${r}u, params.rows - 1u);
  var squares_${r} = VALUE();
  #end
  for (var c = thread; c < C; c += WORKGROUP) {
    #for r in ROWS
    let value_${r} = x[row_${r} * C + c];
    squares_${r} = fma(value_${r}, value_${r}, squares_${r});
    #end
  }
  #for r in ROWS
  let scale_${r} = inverseSqrt(reduce_sum(total_of(squares_${r}), thread) / f32(params.columns) + params.eps);
  if (thread == 0u) { rstd[row_${r}] = scale_${r}; }
  #end
  for (var c = thread; c < C; c += WORKGROUP) {
#if ${UNIT_OFFSET}
    let w = weight[c] + 1f;
#else
    let w = weight[c];
#endif
    #for r in ROWS
    y[row_${r} * C + c] = Y_VALUE(x[row_${r} * C + c] * scale_${r} * w);
    #end
  }
}
