/** All kinds that are tuned. */
import type { KernelRequest, Kind } from '../../kernels/variants.js';
import type { TunedKind } from '../kind.js';
import { attention } from './attention.js';
import { elements } from './elements.js';
import { matmul } from './matmul.js';
import { rows } from './rows.js';

export const TUNED: { readonly [K in Kind]: TunedKind<K> } = { matmul, attention, rows, elements };

/** Returns the kind of a request; ask it about that request and its own variants alone. */
export const kindOf = ({ kind }: Pick<KernelRequest, 'kind'>): TunedKind<Kind> => TUNED[kind];
