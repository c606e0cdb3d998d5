// Gradients of RMSNorm over single heads (head_norm_forward), for its input in place of dy and, first half, for its
// weight:
//   dx[r, h, d] ← rstd * g[d] - x[r, h, d] * rstd³ / D * sum_d(g * x),   g[d] = dx[r, h, d] * weight[d]
//   partial[h, p, d] = sum over the rows r of part p of dx[r, h, d] * x[r, h, d] * rstd[r, h]   (WEIGHT; dx as it was)
// x, dx [R, row_size], f32 or f16 (TYPE), of which `heads` heads from element `offset` on; weight [D], rstd [R, heads],
// partial [heads, parts, D] in f32, as all is computed. A workgroup takes one head of a part: of ROWS rows, or what is
// left. With UNIT_OFFSET the weight is taken as 1 + weight. sum_rows adds up heads and parts; `first` is the number of
// the first part.
struct Params { rows: u32, heads: u32, offset: u32, row_size: u32, head_size: u32, parts: u32, first: u32 }

var<storage, read> weight: array<f32>;
var<storage, read> x: array<TYPE>;
var<storage, read> rstd: array<f32>;
var<storage, read_write> dx: array<TYPE>;
#if ${WEIGHT}
var<storage, read_write> partial: array<f32>;
#endif
var<uniform> params: Params;

#include lib/reduce.wgsl

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let index = workgroup.y * grid.x + workgroup.x;
  let head = index % params.heads;
  let part = index / params.heads;
  if (part * ROWS >= params.rows) { return; } // a grid that is folded may have some more
  let D = params.head_size;
  // rows beyond the last are taken for it, and neither written nor added
  #for r in ROWS
  let is_row_${r} = part * ROWS + ${r}u < params.rows;
  let row_${r} = min(part * ROWS + ${r}u, params.rows - 1u);
  let start_${r} = row_${r} * params.row_size + params.offset + head * D;
  var product_${r} = 0f;
  #end
  for (var d = thread; d < D; d += WORKGROUP) {
#if ${UNIT_OFFSET}
    let w = weight[d] + 1f;
#else
    let w = weight[d];
#endif
    #for r in ROWS
    product_${r} = fma(f32(dx[start_${r} + d]) * w, f32(x[start_${r} + d]), product_${r});
    #end
  }
  #for r in ROWS
  let scale_${r} = rstd[row_${r} * params.heads + head];
  let slope_${r} = reduce_sum(product_${r}, thread) * scale_${r} * scale_${r} * scale_${r} / f32(D);
  #end
  for (var d = thread; d < D; d += WORKGROUP) {
#if ${UNIT_OFFSET}
    let w = weight[d] + 1f;
#else
    let w = weight[d];
#endif
    var sum = 0f;
    #for r in ROWS
    if (is_row_${r}) {
      let gradient = f32(dx[start_${r} + d]);
      let value = f32(x[start_${r} + d]);
      sum = fma(gradient, value * scale_${r}, sum);
      dx[start_${r} + d] = TYPE(scale_${r} * gradient * w - slope_${r} * value);
    }
    #end
#if ${WEIGHT}
    partial[(head * params.parts + params.first + part) * D + d] = sum;
#endif
  }
}
