// What the two passes of the gradient on register tiles share.

#include lib/attention_weights.wgsl

// Writes a thread's sums, scaled, to dqkv, whose rows are laid out as those of qkv.
fn store(thread: u32, sums: Sums, rows: Rows, first: u32, scale: f32) {
  #for r in 4
  {
    let row = first + 4u * (thread / THREADS_N) + ${r}u;
    #for v in VECTORS
    {
      let d = 4u * (thread % THREADS_N + ${v}u * THREADS_N);
      let at = rows.first + row * rows.stride + d;
      let values = vec4<TYPE>(sums[${r} * VECTORS + ${v}] * scale);
      if (row < params.T && d < D) {
#if ${ALIGNED}
        dqkv[at / 4u] = values;
#else
        for (var i = 0u; i < min(4u, D - d); i++) { dqkv[at + i] = values[i]; }
#endif
      }
    }
    #end
  }
  #end
}
