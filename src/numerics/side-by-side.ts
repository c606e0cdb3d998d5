/** Matrices that kernels take as one: Q, K and V, or gate and up, of a row side by side. */
import type { Vector } from './reference.js';

/** Matrices of `rows` rows each, side by side in one. */
export function sideBySide(matrices: readonly Vector[], rows: number): Vector {
  const widths = matrices.map(({ length }) => length / rows);
  const width = widths.reduce((a, b) => a + b, 0);
  const together = new Float64Array(rows * width);
  let column = 0;
  matrices.forEach((matrix, i) => {
    for (let r = 0; r < rows; r++) {
      together.set(matrix.subarray(r * widths[i]!, (r + 1) * widths[i]!), r * width + column);
    }
    column += widths[i]!;
  });
  return together;
}

/** Takes matrices that stand side by side apart again. */
export function apart<Values extends Float32Array | Float64Array>(
  together: Values,
  rows: number,
  widths: readonly number[],
): Values[] {
  const width = widths.reduce((a, b) => a + b, 0);
  let column = 0;
  return widths.map(own => {
    const part = together.slice(0, rows * own) as Values;
    for (let r = 0; r < rows; r++) part.set(together.subarray(r * width + column, r * width + column + own), r * own);
    column += own;
    return part;
  });
}
