// What the variants of the matrix product share beside A and B: sizes, where each operand's window
// begins and how far its rows are apart, in elements; and what the epilogue reads and writes, *_STORED.
struct Params {
  M: u32, N: u32, K: u32,
  a_stride: u32, b_stride: u32, c_stride: u32,
  a_first: u32, b_first: u32, c_first: u32, addend_first: u32,
}

#if ${ADDEND}
var<storage, read> addend: array<ADDEND_STORED>;
#endif
var<storage, read_write> c: array<C_STORED>;
#if ${SWIGLU}
var<storage, read_write> y: array<C_STORED>;
#endif
var<uniform> params: Params;
