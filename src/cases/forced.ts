/** A table that gives one variant to whatever asks for one of its kind. */
import type { AdapterDescription } from '../gpu/adapters.js';
import type { AttentionKernel, AttentionSizes, AttentionVariant } from '../kernels/attention-variant.js';
import type { ElementType } from '../kernels/element-type.js';
import type { MatmulRequest, MatmulVariant } from '../kernels/matmul-variant.js';
import type { ElementRequest, ElementVariant, RowRequest, RowVariant } from '../kernels/row-variant.js';
import { type VariantOf, VariantTable } from '../kernels/variants.js';

class ForcedTable extends VariantTable {
  readonly #variants: Partial<VariantOf>;

  constructor(adapter: AdapterDescription, variants: Partial<VariantOf>) {
    super(adapter);
    this.#variants = variants;
  }

  override matmul(request: MatmulRequest): MatmulVariant {
    return this.#variants.matmul ?? super.matmul(request);
  }

  override attention(kernel: AttentionKernel, sizes: AttentionSizes, type: ElementType): AttentionVariant {
    return this.#variants.attention ?? super.attention(kernel, sizes, type);
  }

  override rows(request: RowRequest): RowVariant {
    return this.#variants.rows ?? super.rows(request);
  }

  override elements(request: ElementRequest): ElementVariant {
    return this.#variants.elements ?? super.elements(request);
  }
}

export const forced = (adapter: AdapterDescription, variants: Partial<VariantOf>): VariantTable =>
  new ForcedTable(adapter, variants);
