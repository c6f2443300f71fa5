import { MonosemError } from '../../error.js';
import { readExperts } from './common.js';
import { decoderIgnores, decoderModules, decoderWeights } from './decoder.js';
import type { Family } from './family.js';
import { qwenConfig } from './qwen.js';

/** Qwen 3 with a mixture of experts in place of every MLP (30B-A3B). */
export const qwen3Moe: Family = {
  name: 'qwen3_moe',
  modelTypes: ['qwen3_moe'],
  config(text) {
    const base = qwenConfig(text, {
      dModel: 2048,
      dMlp: 6144,
      nLayers: 24,
      nHeads: 32,
      nKeyValueHeads: 4,
      dHead: 128,
      dVocab: 151936,
      nCtx: 32768,
      theta: 1e4,
      tied: false,
    });
    const dense = text.raw('mlp_only_layers');
    if (
      (Array.isArray(dense) && dense.length > 0) ||
      text.integer('decoder_sparse_step', 1) !== 1
    ) {
      throw new MonosemError(
        'ERR_UNSUPPORTED',
        `${text.where}: mlp_only_layers and decoder_sparse_step are not supported; every layer must be sparse`,
      );
    }
    return {
      ...base,
      qkNorm: true,
      dMlp: text.integer('moe_intermediate_size', 768),
      experts: {
        count: readExperts(text, 'num_experts', 128),
        active: text.integer('num_experts_per_tok', 8),
        normalizeWeights: text.boolean('norm_topk_prob', false),
      },
    };
  },
  weights: (files, cfg) => decoderWeights(files, cfg, { prefixes: ['model.', ''] }),
  ignores: decoderIgnores,
  modules: decoderModules,
};
