// Gradients of RMSNorm, for its input and, first half, for its weight: with g[c] = dy[r, c] * weight[c],
//   dx[r, c] = rstd * g[c] - x[r, c] * rstd³ / C * sum_c(g * x)  (+ addend[r, c])
//   partial[p, c] = sum over the rows r of part p of dy[r, c] * x[r, c] * rstd[r]     (WEIGHT)
// x, dy, dx, addend [R, C], weight [C], rstd [R], partial [P, C]. A workgroup takes a part: ROWS rows, or what is left,
// VECTOR elements of each at a time (C is a multiple of it). With UNIT_OFFSET the weight is taken as 1 + weight. dy is
// f32 or f16 (DY_VALUE), all else f32. Writes dx (no accumulation); the addend is the gradient that x has from
// elsewhere (the residual stream). sum_rows adds the parts; `first` is the number of the first part.
struct Params { rows: u32, columns: u32, first: u32 }

var<storage, read> x: array<VALUE>;
var<storage, read> weight: array<VALUE>;
var<storage, read> rstd: array<f32>;
var<storage, read> dy: array<DY_VALUE>;
var<storage, read_write> dx: array<VALUE>;
#if ${ADDEND}
var<storage, read> addend: array<VALUE>;
#endif
#if ${WEIGHT}
var<storage, read_write> partial: array<VALUE>;
#endif
var<uniform> params: Params;

#include lib/reduce.wgsl
#include lib/vector.wgsl

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let part = workgroup.y * grid.x + workgroup.x;
  if (part * ROWS >= params.rows) { return; } // a grid that is folded may have some more
  let C = params.columns / VECTOR;
  // rows beyond the last are taken for it, and neither written nor added
  #for r in ROWS
  let is_row_${r} = part * ROWS + ${r}u < params.rows;
  let row_${r} = min(part * ROWS + ${r}u, params.rows - 1u);
  var product_${r} = VALUE();
  #end
  for (var c = thread; c < C; c += WORKGROUP) {
#if ${UNIT_OFFSET}
    let w = weight[c] + 1f;
#else
    let w = weight[c];
#endif
    #for r in ROWS
    product_${r} = fma(VALUE(dy[row_${r} * C + c]) * w, x[row_${r} * C + c], product_${r});
    #end
  }
  #for r in ROWS
  let scale_${r} = rstd[row_${r}];
  let dot_${r} = reduce_sum(total_of(product_${r}), thread);
  let slope_${r} = dot_${r} * scale_${r} * scale_${r} * scale_${r} / f32(params.columns);
  #end
  for (var c = thread; c < C; c += WORKGROUP) {
#if ${UNIT_OFFSET}
    let w = weight[c] + 1f;
#else
    let w = weight[c];
#endif
    var sum = VALUE();
    #for r in ROWS
    if (is_row_${r}) {
      let at = row_${r} * C + c;
      let gradient = VALUE(dy[at]);
      let value = x[at];
#if ${WEIGHT}
      sum = fma(gradient, value * scale_${r}, sum);
#endif
#if ${ADDEND}
      dx[at] = scale_${r} * gradient * w - slope_${r} * value + addend[at];
#else
      dx[at] = scale_${r} * gradient * w - slope_${r} * value;
#endif
    }
    #end
#if ${WEIGHT}
    partial[(params.first + part) * C + c] = sum;
#endif
  }
}
