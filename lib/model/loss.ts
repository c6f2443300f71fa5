import { MonosemError } from '../error.js';
import * as ops from '../ops.js';
import { Tensor } from '../tensor.js';
import { Frame } from './frame.js';
import type { Tokens } from './tokens.js';

/**
 * Mean cross-entropy of each next token in nats, rank 0: -log softmax(logits)[b, t, token[b, t + 1]].
 * Pairs with a pad on either side do not count. (TransformerLens' `lm_cross_entropy_loss`.)
 * @throws ERR_INVALID_ARGUMENT when there is no next token.
 */
export function nextTokenLoss(logits: Tensor, tokens: Tokens): Tensor {
  const [batch, length] = tokens.shape;
  if (length < 2) {
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      `a loss needs at least two tokens, got ${length}: it is about predicting the next one`,
    );
  }
  using frame = new Frame();
  const next = new Int32Array(batch * (length - 1));
  const counts = new Float32Array(next.length);
  for (let row = 0; row < batch; row++) {
    for (let t = 0; t < length - 1; t++) {
      const from = row * length + t;
      const to = row * (length - 1) + t;
      next[to] = tokens.ids[from + 1] as number;
      const isPair = tokens.mask === undefined || (tokens.mask[from] && tokens.mask[from + 1]);
      counts[to] = isPair ? 1 : 0;
    }
  }
  const { device } = logits;
  const target = frame.own(Tensor.from(next, [batch, length - 1, 1], { device }));
  const given = frame.own(logits.slice(null, [0, length - 1]));
  const wide = given.dtype === 'float32' ? given : frame.own(given.to({ dtype: 'float32' }));
  const picked = frame.own(ops.gather(frame.own(wide.logSoftmax(-1)), target));
  if (tokens.mask === undefined) return frame.own(picked.mean()).neg();
  const weight = frame.own(Tensor.from(counts, [batch, length - 1, 1], { device }));
  const total = counts.reduce((sum, count) => sum + count, 0);
  return frame.own(frame.own(picked.mul(weight)).sum()).div(-total);
}
