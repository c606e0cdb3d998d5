/** Rules for parameters: which one holds for which, and those that fit nothing. */
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/errors.js';
import { type ParameterRule, treatmentsOf } from '../../src/train/parameter-rules.js';
import { smallModel } from '../support/model.js';

const config = smallModel({ vocabSize: 20, hiddenSize: 8, intermediateSize: 12, numAttentionHeads: 2 });
const untied = { ...config, tieWordEmbeddings: false };
const of = (rules: readonly ParameterRule[], model = config) =>
  treatmentsOf(model, { weightDecay: 0.1, parameterGroups: rules });

const PLAIN = { rate: 1, weightDecay: 0.1, frozen: false, frozenSteps: 0, kept: 0 };

describe('rules', () => {
  test('without any, matrices decay and vectors do not', () => {
    for (const [name, treatment] of of([])) {
      expect(treatment, name).toEqual({ ...PLAIN, weightDecay: /norm/.test(name) ? 0 : 0.1 });
    }
  });

  test('the first that matches wins, and what it does not say is as without it', () => {
    const treatments = of(
      [
        { match: ['model.layers.1.*', 'model.norm.weight'], learningRate: 0.5 },
        { match: ['*norm*'], weightDecay: 0.3 },
        { match: ['model.embed_tokens.weight', 'lm_head.weight'], frozenSteps: 4, keptRows: 15 },
      ],
      untied,
    );
    expect(treatments.get('model.layers.1.input_layernorm.weight')).toEqual({ ...PLAIN, rate: 0.5, weightDecay: 0 });
    expect(treatments.get('model.layers.1.self_attn.qkv_proj.weight')).toEqual({ ...PLAIN, rate: 0.5 });
    expect(treatments.get('model.layers.0.input_layernorm.weight')).toEqual({ ...PLAIN, weightDecay: 0.3 });
    expect(treatments.get('model.layers.0.mlp.down_proj.weight')).toEqual(PLAIN);
    for (const name of ['model.embed_tokens.weight', 'lm_head.weight']) {
      expect(treatments.get(name)).toEqual({ ...PLAIN, frozenSteps: 4, kept: 15 * 8 });
    }
  });

  test('a pattern is a whole name but for its stars, and a point is a point', () => {
    expect(() => of([{ match: ['norm'], frozen: true }])).toThrow(UserError);
    expect(() => of([{ match: ['model?norm.weight'], frozen: true }])).toThrow(UserError);
    expect(of([{ match: ['model.n*t'], frozen: true }]).get('model.norm.weight')!.frozen).toBe(true);
  });

  test('a frozen body is all but the embedding and an untied head', () => {
    for (const model of [config, untied]) {
      const treatments = treatmentsOf(model, { weightDecay: 0.1, frozenSteps: 3 });
      for (const [name, { frozenSteps }] of treatments) {
        expect(frozenSteps, name).toBe(/embed_tokens|lm_head/.test(name) ? 0 : 3);
      }
    }
  });

  test.each([
    [
      [{ match: ['*.nrom.*'] }],
      /'\*\.nrom\.\*' matches no parameter; the names are model\.embed_tokens\.weight, model\.layers\.N\.input_layernorm\.weight, .*model\.norm\.weight$/,
    ],
    [[{ match: ['lm_head.weight'], frozen: true }], /the head is tied: it is the embedding/],
    [
      [{ match: ['*.q_proj.weight'], frozen: true }],
      /layers\.0\.self_attn\.q_proj\.weight' and '.*k_proj\.weight' stand in one matrix/,
    ],
    [
      [{ match: ['*norm*'], keptRows: 2 }],
      /newRows are those of embedding and head; 'model\.layers\.0\.input_layernorm/,
    ],
    [[{ match: ['*embed*'], keptRows: 20 }], /new rows from 20 on, and 'model\.embed_tokens\.weight' has 20 rows/],
    [[{ match: ['*'], frozen: true }], /freeze every parameter/],
  ] as const)('refuses %j', (rules, message) => {
    expect(() => of(rules)).toThrow(message);
  });

  test('refuses a frozen body beside groups', () => {
    const given = { weightDecay: 0.1, frozenSteps: 3, parameterGroups: [{ match: ['*norm*'] }] };
    expect(() => treatmentsOf(config, given)).toThrow(/both say what is frozen at first/);
  });
});
