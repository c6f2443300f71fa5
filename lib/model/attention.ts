import * as ops from '../ops.js';
import type { Tensor } from '../tensor.js';
import type { Frame } from './frame.js';
import type { BlockPoints } from './points.js';
import { norm, type Run, tap } from './run.js';
import {
  type AttentionWeights,
  headBias,
  headWeights,
  type NormWeights,
  type QkvPart,
  splitFused,
} from './weights.js';

/** What one attention layer reads, besides its input. */
export interface AttentionLayer {
  readonly index: number;
  readonly weights: AttentionWeights;
  readonly ln1: NormWeights;
  readonly points: BlockPoints;
}

interface Heads {
  q: Tensor;
  k: Tensor;
  v: Tensor;
}

/**
 * What attention adds, before any norm after it [b, p, d_model]:
 * softmax(q k^T * scale) v, heads concatenated, @ W_O + b_O; hooks fire at every step. Scores are
 * materialised only for those who look at scores or pattern, results per head only for theirs.
 */
export async function attention(
  run: Run,
  frame: Frame,
  residual: Tensor,
  layer: AttentionLayer,
): Promise<Tensor> {
  const { points, weights } = layer;
  const heads = await project(run, frame, residual, layer);
  heads.q = await tap(run, points.q, heads.q);
  heads.k = await tap(run, points.k, heads.k);
  heads.v = await tap(run, points.v, heads.v);
  await place(run, frame, heads, layer);
  const mixed = await mix(run, frame, heads, layer);
  const z = await tap(run, points.z, mixed);
  if (run.hooks.listens(points.result)) {
    const result = await run.hooks.fire(points.result, perHeadResult(run, frame, z, weights));
    const summed = frame.own(result.sum(2));
    return weights.b_O === undefined ? summed : frame.own(summed.add(weights.b_O));
  }
  const [batch, length] = z.shape as [number, number];
  const flat = frame.own(z.reshape([batch, length, -1]));
  return frame.own(ops.linear(flat, weights.W_O, weights.b_O));
}

/** Queries [b, p, n, d_head], keys and values [b, p, n_kv, d_head]. */
async function project(
  run: Run,
  frame: Frame,
  residual: Tensor,
  layer: AttentionLayer,
): Promise<Heads> {
  const { points, ln1, weights } = layer;
  const { cfg, hooks } = run;
  const splits = [points.attnIn, points.qInput, points.kInput, points.vInput];
  if (splits.some((name) => hooks.listens(name))) {
    return projectCopies(run, frame, residual, layer);
  }
  const normalized = await norm(run, frame, residual, ln1, ln1Points(points));
  const x = await tap(run, points.ln1Out, normalized);
  const { qkv } = weights;
  if (qkv.layout !== 'separate') {
    const product = frame.own(ops.linear(x, qkv.fused.W, qkv.fused.b));
    const part = (which: QkvPart) => frame.own(splitFused(product, qkv, which, cfg));
    return { q: part('q'), k: part('k'), v: part('v') };
  }
  const [batch, length] = x.shape as [number, number];
  const part = (which: QkvPart) => {
    const flat = frame.own(ops.linear(x, qkv[which].W, qkv[which].b));
    return frame.own(flat.reshape([batch, length, -1, cfg.dHead]));
  };
  return { q: part('q'), k: part('k'), v: part('v') };
}

function ln1Points(points: BlockPoints) {
  return { scale: points.ln1Scale, normalized: points.ln1Normalized };
}

/** The same with a copy of the residual for each head, so that a hook can edit what one head reads. */
async function projectCopies(
  run: Run,
  frame: Frame,
  residual: Tensor,
  layer: AttentionLayer,
): Promise<Heads> {
  const { points, ln1, weights } = layer;
  const { cfg } = run;
  const copies = (x: Tensor, heads: number): Tensor => {
    const [batch, length, d] = x.shape as [number, number, number];
    const room = frame.own(ops.zerosOf(x, [batch, length, heads, d]));
    return room.copyFrom(frame.own(x.reshape([batch, length, 1, d])));
  };
  const shared = run.hooks.listens(points.attnIn)
    ? await run.hooks.fire(points.attnIn, copies(residual, cfg.nHeads))
    : undefined;
  const inputOf = (which: QkvPart, point: string) => {
    const heads = which === 'q' ? cfg.nHeads : cfg.nKeyValueHeads;
    return tap(run, point, frame.own(shared?.clone() ?? copies(residual, heads)));
  };
  const part = async (which: QkvPart, input: Tensor): Promise<Tensor> => {
    const normalized = await norm(run, frame, input, ln1, ln1Points(points));
    const x = await tap(run, points.ln1Out, normalized);
    const [batch, length, heads] = x.shape as [number, number, number];
    const rows = frame.own(x.reshape([batch * length, heads, cfg.dModel]));
    const W = frame.own(headWeights(weights, which, cfg));
    const product = frame.own(frame.own(rows.transpose(0, 1)).matmul(W));
    const out = frame.own(frame.own(product.transpose(0, 1)).clone());
    const bias = headBias(weights, which, cfg);
    if (bias !== undefined) out.addInPlace(frame.own(bias));
    return frame.own(out.reshape([batch, length, heads, cfg.dHead]));
  };
  const q = await inputOf('q', points.qInput);
  const k = await inputOf('k', points.kInput);
  const v = await inputOf('v', points.vInput);
  return { q: await part('q', q), k: await part('k', k), v: await part('v', v) };
}

/** Norms of queries and keys, rotation, and what the key-value cache holds before the new keys. */
async function place(run: Run, frame: Frame, heads: Heads, layer: AttentionLayer): Promise<void> {
  const { points, weights, index } = layer;
  const { cfg, place: at, keyValues } = run;
  if (weights.qNorm !== undefined && weights.kNorm !== undefined) {
    heads.q = await headNorm(run, frame, heads.q, weights.qNorm, {
      scale: points.qNormScale,
      normalized: points.qNormNormalized,
    });
    heads.k = await headNorm(run, frame, heads.k, weights.kNorm, {
      scale: points.kNormScale,
      normalized: points.kNormNormalized,
    });
  }
  const { rotary } = cfg.layers[index] ?? {};
  if (rotary !== undefined) {
    const { cos, sin } = run.rotary.get(rotary, at.end);
    heads.q = frame.own(ops.rope(heads.q, cos, sin, at.positions));
    heads.k = frame.own(ops.rope(heads.k, cos, sin, at.positions));
  }
  if (keyValues !== undefined) {
    const all = keyValues.append(index, heads.k, heads.v);
    heads.k = frame.own(all.k);
    heads.v = frame.own(all.v);
  }
  if (rotary !== undefined) {
    heads.q = await tap(run, points.rotQ, heads.q);
    // The cache's own memory is not a hook's to edit.
    if (keyValues !== undefined && run.hooks.listens(points.rotK)) {
      heads.k = frame.own(heads.k.clone());
    }
    heads.k = await tap(run, points.rotK, heads.k);
  }
}

/** RMSNorm of each head; its points see the heads as rows [b * p * n, d_head], as in TransformerLens. */
async function headNorm(
  run: Run,
  frame: Frame,
  x: Tensor,
  weights: NormWeights,
  points: { readonly scale: string; readonly normalized: string },
): Promise<Tensor> {
  const rows = frame.own(x.reshape([-1, run.cfg.dHead]));
  const out = await norm(run, frame, rows, weights, points);
  return frame.own(out.reshape(x.shape));
}

/** The values each query attends to [b, p, n, d_head]. */
async function mix(
  run: Run,
  frame: Frame,
  { q, k, v }: Heads,
  { points, index }: AttentionLayer,
): Promise<Tensor> {
  const { cfg, hooks, place: at } = run;
  const { attnScale: scale = 1, window = 0 } = cfg.layers[index] ?? {};
  const options = { scale, softcap: cfg.attnSoftcap, window };
  if (!hooks.listens(points.attnScores) && !hooks.listens(points.pattern)) {
    return frame.own(ops.attention(q, k, v, at.keyMask, options));
  }
  const computed = frame.own(ops.attentionScores(q, k, at.keyMask, options));
  const scores = await tap(run, points.attnScores, computed);
  const softmax = frame.own(scores.softmax(-1));
  clearPadRows(run, softmax);
  const pattern = await tap(run, points.pattern, softmax);
  return patternTimesValues(frame, pattern, v);
}

/** A pad before the text sees no key; its softmax is 0/0, and its row of the pattern is 0. */
function clearPadRows(run: Run, pattern: Tensor): void {
  const { keyMask, tokens } = run.place;
  if (keyMask === undefined || tokens?.mask === undefined) return;
  const [batch, length] = tokens.shape;
  for (let row = 0; row < batch; row++) {
    const firstReal = tokens.mask.indexOf(1, row * length) - row * length;
    const pads = firstReal < 0 || firstReal > length ? length : firstReal;
    if (pads === 0) continue;
    const rows = pattern.slice(row, null, [0, pads]);
    rows.fill(0);
    rows.dispose();
  }
}

/** pattern [b, n, p, s] @ v [b, s, n_kv, d_head], each key head serving n / n_kv query heads. */
function patternTimesValues(frame: Frame, pattern: Tensor, v: Tensor): Tensor {
  const [batch, heads, queries, keys] = pattern.shape as [number, number, number, number];
  const [, , valueHeads, dHead] = v.shape as [number, number, number, number];
  const typed =
    pattern.dtype === v.dtype ? pattern : frame.own(pattern.to({ dtype: v.dtype as never }));
  const grouped = frame.own(
    typed.reshape([batch, valueHeads, (heads / valueHeads) * queries, keys]),
  );
  const product = frame.own(grouped.matmul(frame.own(v.transpose(1, 2))));
  const byHead = frame.own(product.reshape([batch, heads, queries, dHead]));
  const z = frame.own(byHead.transpose(1, 2));
  return frame.own(z.clone());
}

/** z @ W_O head by head [b, p, n, d_model], without b_O. */
function perHeadResult(run: Run, frame: Frame, z: Tensor, weights: AttentionWeights): Tensor {
  const { nHeads, dHead, dModel } = run.cfg;
  const [batch, length] = z.shape as [number, number];
  const rows = frame.own(frame.own(z.reshape([-1, nHeads, dHead])).transpose(0, 1));
  const W = frame.own(weights.W_O.reshape([nHeads, dHead, dModel]));
  const byHead = frame.own(frame.own(rows.matmul(W)).transpose(0, 1));
  const result = frame.own(byHead.clone());
  return frame.own(result.reshape([batch, length, nHeads, dModel]));
}
