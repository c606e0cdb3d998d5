/**
 * Logits of a Gemma, Gemma 2 and Gemma 3 in float64, written down after transformers' modeling_gemma.py,
 * modeling_gemma2.py and modeling_gemma3.py, one function a module of them, on plain arrays of vectors: nothing is
 * shared with the project's own float64 model.
 */
import { type Json, tensorsOf } from './checkpoints.js';

type Row = number[];
type Weights = (name: string) => { readonly shape: readonly number[]; readonly values: ArrayLike<number> };

/** The fields of config.json that it reads, the last ones of a Gemma 2 or 3; the sizes are those of the weights. */
export interface GemmaFields extends Json {
  readonly model_type: 'gemma' | 'gemma2' | 'gemma3_text';
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly rms_norm_eps: number;
  readonly rope_theta: number;
  readonly rope_scaling: { readonly factor: number } | null;
  readonly rope_local_base_freq: number;
  readonly query_pre_attn_scalar: number;
  readonly sliding_window: number;
  readonly sliding_window_pattern: number;
  readonly attn_logit_softcapping: number | null;
  readonly final_logit_softcapping: number | null;
}

/** GemmaRMSNorm, Gemma2RMSNorm and Gemma3RMSNorm: output * (1.0 + self.weight). */
function rmsNorm(weights: Weights, name: string, x: Row, eps: number): Row {
  const { values } = weights(name);
  const mean = x.reduce((sum, value) => sum + value ** 2, 0) / x.length;
  return x.map((value, i) => (value / Math.sqrt(mean + eps)) * (1 + values[i]!));
}

/** nn.Linear without a bias. */
function linear(weights: Weights, name: string, x: Row): Row {
  const { shape, values } = weights(name);
  const [rows, columns] = shape as [number, number];
  return Array.from({ length: rows }, (_, r) => x.reduce((sum, value, c) => sum + value * values[r * columns + c]!, 0));
}

/** ACT2FN["gelu_pytorch_tanh"]. */
const gelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** apply_rotary_pos_emb: x * cos + rotate_half(x) * sin, where cos and sin are of emb = cat(freqs, freqs). */
function rotate(x: Row, position: number, base: number, factor: number): Row {
  const half = x.length / 2;
  return x.map((value, d) => {
    const angle = (position * base ** (-(2 * (d % half)) / x.length)) / factor;
    const turned = d < half ? -x[d + half]! : x[d - half]!;
    return value * Math.cos(angle) + turned * Math.sin(angle);
  });
}

/** x / softcapping, tanh of that, times softcapping. */
const capped = (x: number, softcapping: number | null | undefined) =>
  softcapping ? Math.tanh(x / softcapping) * softcapping : x;

/** GemmaAttention, Gemma2Attention and Gemma3Attention with eager_attention_forward; rows are those of a sequence. */
function attend(weights: Weights, c: GemmaFields, layer: number, rows: readonly Row[]): Row[] {
  const prefix = `model.layers.${layer}.self_attn`;
  const hasWindows = c.model_type !== 'gemma';
  // a Gemma 2's sliding_window is of layers whose `layer_idx % 2` is 0
  const isSliding = hasWindows && (layer + 1) % (c.model_type === 'gemma2' ? 2 : c.sliding_window_pattern) !== 0;
  const isRotatedApart = isSliding && c.model_type === 'gemma3_text';
  const [base, factor] = isRotatedApart ? [c.rope_local_base_freq, 1] : [c.rope_theta, c.rope_scaling?.factor ?? 1];
  const D = c.head_dim;
  const scaling = (hasWindows ? c.query_pre_attn_scalar : D) ** -0.5;
  const head = (x: Row, h: number) => x.slice(h * D, (h + 1) * D);
  const prepared = (kind: 'q' | 'k', heads: number) =>
    rows.map((row, t) => {
      const states = linear(weights, `${prefix}.${kind}_proj.weight`, row);
      const normed = (x: Row) =>
        c.model_type === 'gemma3_text' ? rmsNorm(weights, `${prefix}.${kind}_norm.weight`, x, c.rms_norm_eps) : x;
      return Array.from({ length: heads }, (_, h) => rotate(normed(head(states, h)), t, base, factor));
    });
  const [queries, keys] = [prepared('q', c.num_attention_heads), prepared('k', c.num_key_value_heads)];
  const values = rows.map(row => linear(weights, `${prefix}.v_proj.weight`, row));
  const groups = c.num_attention_heads / c.num_key_value_heads;
  return rows.map((_, t) => {
    const out = queries[t]!.flatMap((query, h) => {
      const kv = Math.floor(h / groups);
      const isSeen = (j: number) => j <= t && (!isSliding || t - j < c.sliding_window);
      const seen = rows.flatMap((_, j) => (isSeen(j) ? [j] : []));
      const products = seen.map(j => query.reduce((sum, value, d) => sum + value * keys[j]![kv]![d]!, 0));
      const scores = products.map(product => capped(product * scaling, c.attn_logit_softcapping));
      const largest = Math.max(...scores);
      const powers = scores.map(score => Math.exp(score - largest));
      const total = powers.reduce((a, b) => a + b, 0);
      return Array.from({ length: D }, (_, d) =>
        seen.reduce((sum, j, i) => sum + (powers[i]! / total) * values[j]![kv * D + d]!, 0),
      );
    });
    return linear(weights, `${prefix}.o_proj.weight`, out);
  });
}

const add = (a: readonly Row[], b: readonly Row[]) => a.map((row, t) => row.map((value, i) => value + b[t]![i]!));

/** GemmaForCausalLM, Gemma2ForCausalLM and Gemma3ForCausalLM on one sequence: logits [T, vocab_size]. */
export function gemmaLogits(c: GemmaFields, weights: Weights, ids: readonly number[]): Row[] {
  const table = weights('model.embed_tokens.weight');
  const [, C] = table.shape as [number, number];
  const norm = (name: string, rows: readonly Row[]) =>
    rows.map(row => rmsNorm(weights, `model.${name}.weight`, row, c.rms_norm_eps));
  let x = ids.map(id => Array.from({ length: C }, (_, i) => table.values[id * C + i]! * Math.sqrt(C)));
  const hasAfter = c.model_type !== 'gemma';
  const after = (name: string, rows: readonly Row[]) => (hasAfter ? norm(name, rows) : rows);
  for (let layer = 0; layer < c.num_hidden_layers; layer++) {
    const prefix = `layers.${layer}`;
    const attended = attend(weights, c, layer, norm(`${prefix}.input_layernorm`, x));
    x = add(x, after(`${prefix}.post_attention_layernorm`, attended));
    const beforeMlp = hasAfter ? 'pre_feedforward_layernorm' : 'post_attention_layernorm';
    const mixed = norm(`${prefix}.${beforeMlp}`, x).map(row => {
      const gate = linear(weights, `model.${prefix}.mlp.gate_proj.weight`, row);
      const up = linear(weights, `model.${prefix}.mlp.up_proj.weight`, row);
      const gated = gate.map((value, i) => gelu(value) * up[i]!);
      return linear(weights, `model.${prefix}.mlp.down_proj.weight`, gated);
    });
    x = add(x, after(`${prefix}.post_feedforward_layernorm`, mixed));
  }
  return norm('norm', x).map(row =>
    linear(weights, 'model.embed_tokens.weight', row).map(logit => capped(logit, c.final_logit_softcapping)),
  );
}

/** The weights of a layout of test/support/checkpoints.ts, in F32. */
export function weightsOf(config: Json): Weights {
  const tensors = tensorsOf(config, 'F32');
  const read = new Map(
    [...tensors].map(([name, { shape, bytes }]) => [name, { shape, values: new Float32Array(bytes.slice().buffer) }]),
  );
  return name => read.get(name)!;
}
