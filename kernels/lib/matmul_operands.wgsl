// What the variants of the matrix product share beside A and B, in bindings 0 and 1: sizes, where each operand's window
// begins and how far its rows are apart, in elements; and what the epilogue reads and writes.
struct Params {
  M: u32, N: u32, K: u32,
  a_stride: u32, b_stride: u32, c_stride: u32,
  a_first: u32, b_first: u32, c_first: u32, addend_first: u32,
}

#if ${ADDEND}
@group(0) @binding(2) var<storage, read> addend: array<${ADDEND_TYPE}>;
@group(0) @binding(3) var<storage, read_write> c: array<${C_TYPE}>;
@group(0) @binding(4) var<uniform> params: Params;
#elif ${SWIGLU}
@group(0) @binding(2) var<storage, read_write> c: array<${C_TYPE}>;
@group(0) @binding(3) var<storage, read_write> y: array<${C_TYPE}>;
@group(0) @binding(4) var<uniform> params: Params;
#else
@group(0) @binding(2) var<storage, read_write> c: array<${C_TYPE}>;
@group(0) @binding(3) var<uniform> params: Params;
#endif
