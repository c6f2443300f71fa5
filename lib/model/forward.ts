import { throwIfAborted } from '../abort.js';
import * as ops from '../ops.js';
import type { Tensor } from '../tensor.js';
import { attention } from './attention.js';
import { Frame } from './frame.js';
import { mlp } from './mlp.js';
import { norm, type Run, tap } from './run.js';

/** One block: [b, p, d_model] in and out. Everything but the result is freed when it returns. */
export async function block(run: Run, index: number, input: Tensor, outer: Frame): Promise<Tensor> {
  const { cfg, hooks } = run;
  const points = run.points.blocks[index] as Run['points']['blocks'][number];
  const weights = run.weights.blocks[index] as Run['weights']['blocks'][number];
  using frame = new Frame();
  const residPre = await tap(run, points.residPre, input);

  const layer = { index, weights: weights.attn, ln1: weights.ln1, points };
  let attnOut = await attention(run, frame, residPre, layer);
  if (weights.ln1Post !== undefined) {
    attnOut = await tap(run, points.attnRaw, attnOut);
    attnOut = await norm(run, frame, attnOut, weights.ln1Post, {
      scale: points.ln1PostScale,
      normalized: points.ln1PostNormalized,
    });
  }
  attnOut = await tap(run, points.attnOut, attnOut);

  const afterAttention = cfg.parallel
    ? residPre
    : await tap(run, points.residMid, frame.own(residPre.add(attnOut)));
  const mlpInput = hooks.listens(points.mlpInput)
    ? await hooks.fire(points.mlpInput, frame.own(afterAttention.clone()))
    : afterAttention;
  const normalized = await norm(run, frame, mlpInput, weights.ln2, {
    scale: points.ln2Scale,
    normalized: points.ln2Normalized,
  });
  const mlpIn = await tap(run, points.mlpIn, normalized);
  let mlpOut = await mlp(run, frame, mlpIn, weights.mlp, points);
  if (weights.ln2Post !== undefined) {
    mlpOut = await tap(run, points.mlpRaw, mlpOut);
    mlpOut = await norm(run, frame, mlpOut, weights.ln2Post, {
      scale: points.ln2PostScale,
      normalized: points.ln2PostNormalized,
    });
  }
  mlpOut = await tap(run, points.mlpOut, mlpOut);

  const left = cfg.parallel ? frame.own(residPre.add(attnOut)) : afterAttention;
  const residPost = await tap(run, points.residPost, frame.own(left.add(mlpOut)));
  return frame.release(residPost, outer);
}

/** Blocks [from, to), waiting so that only about two of them are in flight when the batch is large. */
export async function blocks(
  run: Run,
  input: Tensor,
  from: number,
  to: number,
  outer: Frame,
): Promise<Tensor> {
  const isLarge = input.size >= LARGE_RESIDUAL;
  let finished: Promise<void> | undefined;
  let residual = input;
  for (let index = from; index < to; index++) {
    throwIfAborted(run.signal);
    const next = await block(run, index, residual, outer);
    if (next !== residual) outer.free(residual);
    residual = next;
    if (!isLarge) continue;
    await finished;
    finished = ops.fence(residual.device);
    finished.catch(() => {}); // Told by the await that follows, also when a hook throws before it.
  }
  await finished;
  return residual;
}

/**
 * Elements of a residual from which on the loop waits: memory is taken when a command is queued, so a
 * long prompt would otherwise hold the intermediates of all layers at once.
 */
const LARGE_RESIDUAL = 1 << 18;

/** Token embeddings, scaled, plus positions: what the first block reads. */
export async function embed(run: Run, tokens: Tensor, outer: Frame): Promise<Tensor> {
  const { cfg, weights, place } = run;
  const points = run.points.outside;
  using frame = new Frame();
  const ids = await tap(run, points.tokens, tokens);
  let embedded = frame.own(ops.gatherRows(weights.W_E, ids));
  if (cfg.embedScaled) embedded.mulInPlace(embedScale(cfg.dModel, cfg.dtype));
  embedded = await tap(run, points.embed, embedded);
  if (weights.W_pos === undefined) return frame.release(embedded, outer);
  let positions = frame.own(ops.gatherRows(weights.W_pos, place.positions));
  if (place.keyMask !== undefined) {
    const isReal = frame.own(newMask(place.keyMask, positions));
    positions = frame.own(positions.mul(isReal));
  }
  const placed = await tap(run, points.posEmbed, positions);
  return frame.release(frame.own(embedded.add(placed)), outer);
}

/** The new columns of a key mask as 0 or 1 for each position [b, p, 1]. */
function newMask(keyMask: Tensor, like: Tensor): Tensor {
  const [batch, length] = like.shape as [number, number];
  const columns = keyMask.slice(null, [-length]);
  const wide = columns.to({ dtype: like.dtype as never });
  const shaped = wide.reshape([batch, length, 1]);
  columns.dispose();
  wide.dispose();
  return shaped;
}

/** sqrt(d_model), rounded to the dtype of the weights, as Gemma was trained. */
export function embedScale(dModel: number, dtype: string): number {
  const exact = Math.fround(Math.sqrt(dModel));
  const keptBits = dtype === 'bfloat16' ? 8 : dtype === 'float16' ? 11 : 24;
  const unit = 2 ** (Math.floor(Math.log2(exact)) - keptBits + 1);
  return Math.round(exact / unit) * unit;
}

/** The final norm and the unembedding: logits [b, p, d_vocab]. */
export async function unembed(run: Run, residual: Tensor, outer: Frame): Promise<Tensor> {
  const { cfg, weights } = run;
  const points = run.points.outside;
  using frame = new Frame();
  const x = await finalNorm(run, residual, frame);
  const raw = frame.own(ops.linear(x, weights.W_U, weights.b_U));
  const logits = await tap(run, points.logits, raw);
  if (cfg.finalSoftcap === 0) return frame.release(logits, outer);
  return outer.own(ops.softcap(logits, cfg.finalSoftcap));
}

/** What the unembedding reads [b, p, d_model]. */
export async function finalNorm(run: Run, residual: Tensor, frame: Frame): Promise<Tensor> {
  const points = run.points.outside;
  const normalized = await norm(run, frame, residual, run.weights.lnFinal, {
    scale: points.finalScale,
    normalized: points.finalNormalized,
  });
  return tap(run, points.unembedIn, normalized);
}
