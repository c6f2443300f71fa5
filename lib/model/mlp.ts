import * as ops from '../ops.js';
import { Tensor } from '../tensor.js';
import type { ExpertsConfig, ModelConfig } from './config.js';
import type { Frame } from './frame.js';
import type { BlockPoints } from './points.js';
import { type Run, tap } from './run.js';
import { type ExpertsWeights, isExperts, type MlpWeights } from './weights.js';

/** What the MLP (or the experts in its place) makes of x [b, p, d_model], before any norm after it. */
export async function mlp(
  run: Run,
  frame: Frame,
  x: Tensor,
  weights: MlpWeights | ExpertsWeights,
  points: BlockPoints,
): Promise<Tensor> {
  if (isExperts(weights)) {
    return experts(frame, x, weights, run.cfg, run.cfg.experts as ExpertsConfig);
  }
  const { activation } = run.cfg;
  const { W_in, b_in, W_gate, b_gate, W_out, b_out } = weights;
  const [W, b] = W_gate === undefined ? [W_in, b_in] : [W_gate, b_gate];
  let activated: Tensor;
  if (run.hooks.listens(points.pre)) {
    const pre = await run.hooks.fire(points.pre, frame.own(ops.linear(x, W, b)));
    activated = frame.own(ops.activate(pre, activation));
  } else {
    activated = frame.own(ops.linear(x, W, b, activation));
  }
  if (W_gate !== undefined) {
    const linear = await tap(run, points.preLinear, frame.own(ops.linear(x, W_in, b_in)));
    activated.mulInPlace(linear);
  }
  const post = await tap(run, points.post, activated);
  return frame.own(ops.linear(post, W_out, b_out));
}

/**
 * A mixture of experts (Qwen 3 MoE): float32 softmax over all experts, the `active` largest kept and,
 * if asked, renormalised; each token's result is the weighted sum of its experts. Tokens are gathered by
 * expert, which the host must know: this layer waits for the router.
 */
async function experts(
  frame: Frame,
  x: Tensor,
  { router, experts: each }: ExpertsWeights,
  cfg: ModelConfig,
  { active, normalizeWeights }: ExpertsConfig,
): Promise<Tensor> {
  const rows = frame.own(x.reshape([-1, cfg.dModel]));
  const logits = frame.own(frame.own(ops.linear(rows, router)).to({ dtype: 'float32' }));
  const { values, indices } = frame.own(logits.softmax(-1)).topk(active);
  let share = frame.own(values);
  if (normalizeWeights) {
    const total = frame.own(frame.own(share.sum(-1)).reshape([-1, 1]));
    share = frame.own(share.div(total));
  }
  const chosen = (await frame.own(indices).data()) as Int32Array;
  const { order, place } = byExpert(chosen, each.length);
  const device = x.device;
  const made = frame.own(ops.zerosOf(rows, [chosen.length, cfg.dModel]));
  for (const { expert, from, tokens } of groups(order, chosen, active)) {
    const picked = frame.own(Tensor.from(tokens, [tokens.length], { device }));
    const input = frame.own(ops.gatherRows(rows, picked));
    const { W_gate, W_in, W_out } = each[expert] as MlpWeights;
    const hidden = frame.own(ops.linear(input, W_gate as Tensor, undefined, cfg.activation));
    hidden.mulInPlace(frame.own(ops.linear(input, W_in)));
    const window = frame.own(made.slice([from, from + tokens.length]));
    window.copyFrom(frame.own(ops.linear(hidden, W_out)));
  }
  const where = frame.own(Tensor.from(place, [chosen.length / active, active], { device }));
  const gathered = frame.own(ops.gatherRows(made, where));
  const weighted = frame.own(gathered.mul(frame.own(share.reshape([-1, active, 1]))));
  const summed = frame.own(weighted.sum(1));
  const out = frame.own(summed.reshape(x.shape));
  return out.dtype === x.dtype ? out : frame.own(out.to({ dtype: x.dtype as never }));
}

/** Choices (token-major) sorted by expert: `order[i]` is the i-th choice, `place[c]` where choice c went. */
function byExpert(chosen: Int32Array, count: number): { order: Int32Array; place: Int32Array } {
  const starts = new Int32Array(count + 1);
  for (const expert of chosen) starts[expert + 1] = (starts[expert + 1] as number) + 1;
  for (let e = 0; e < count; e++) {
    starts[e + 1] = (starts[e + 1] as number) + (starts[e] as number);
  }
  const order = new Int32Array(chosen.length);
  const place = new Int32Array(chosen.length);
  chosen.forEach((expert, choice) => {
    const at = starts[expert] as number;
    starts[expert] = at + 1;
    order[at] = choice;
    place[choice] = at;
  });
  return { order, place };
}

/** The runs of one expert in `order`, with the tokens that chose it. */
function* groups(order: Int32Array, chosen: Int32Array, active: number) {
  for (let from = 0; from < order.length; ) {
    const expert = chosen[order[from] as number] as number;
    let end = from;
    while (end < order.length && chosen[order[end] as number] === expert) end++;
    const tokens = order.slice(from, end).map((choice) => Math.floor(choice / active));
    yield { expert, from, tokens };
    from = end;
  }
}
