/** Plain float64 matching pursuit and temporal SAEs, written from the equations alone. */

export type Matrix = number[][];

const dot = (a: readonly number[], b: readonly number[]) =>
  a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);
const norm = (a: readonly number[]) => Math.sqrt(dot(a, a));
const relu = (a: readonly number[]) => a.map((value) => Math.max(value, 0));
const column = (m: Matrix, j: number) => m.map((row) => row[j] as number);
/** row @ matrix */
const times = (row: readonly number[], m: Matrix) =>
  (m[0] as number[]).map((_, j) => dot(row, column(m, j)));

export interface Pursuit {
  readonly f: number[];
  /** How clear the closest decision was. */
  readonly margin: number;
}

export function matchingPursuit(
  x: readonly number[],
  W_dec: Matrix,
  stop: { iterations: number; threshold: number; onDuplicate: boolean },
): Pursuit {
  const f = W_dec.map(() => 0);
  let residual = [...x];
  let margin = Number.POSITIVE_INFINITY;
  for (let i = 0; i < stop.iterations; i++) {
    const products = relu(W_dec.map((row) => dot(row, residual)));
    const order = products
      .map((_, j) => j)
      .sort((a, b) => (products[b] as number) - (products[a] as number));
    const [best = 0, next] = order;
    const value = products[best] as number;
    if (next !== undefined) margin = Math.min(margin, value - (products[next] as number));
    const isNew = f[best] === 0 && value > 0;
    f[best] = (f[best] as number) + value;
    residual = residual.map((r, j) => r - value * ((W_dec[best] as number[])[j] as number));
    margin = Math.min(margin, Math.abs(norm(residual) - stop.threshold));
    if (stop.onDuplicate && !isNew) break;
    if (stop.threshold > 0 && norm(residual) < stop.threshold) break;
  }
  return { f, margin };
}

export interface Linear {
  /** [out][in] */
  readonly weight: Matrix;
  readonly bias: number[];
}

export interface TemporalLayer {
  readonly q_target: Linear;
  readonly k_ctx: Linear;
  readonly v_ctx: Linear;
  readonly c_proj: Linear;
}

/** Novel activations and the whole forward of one sequence, b_dec on both sides, no top-k. */
export function temporal(
  sequence: Matrix,
  sae: { W_enc: Matrix; W_dec: Matrix; b_dec: number[]; heads: number; layers: TemporalLayer[] },
): { novel: Matrix; forward: Matrix } {
  const { W_enc, W_dec, b_dec, heads } = sae;
  const lambda = 1 / (4 * b_dec.length);
  const project = (row: readonly number[]) =>
    times(
      row.map((value) => value * lambda),
      W_enc,
    );
  let residual = sequence.map((x) => x.map((value, i) => value - (b_dec[i] as number)));
  const predicted = residual.map(() => b_dec.map(() => 0));
  for (const layer of sae.layers) {
    const now = residual.map((row) => relu(project(row)));
    const before = now.map((row, t) => (t === 0 ? row.map(() => 0) : (now[t - 1] as number[])));
    const code = attend(now, before, layer, heads).map(relu);
    residual = residual.map((row, t) => {
      const direction = times(code[t] as number[], W_dec);
      const along = dot(direction, row) / (norm(direction) + 1e-6) ** 2;
      direction.forEach((value, i) => {
        (predicted[t] as number[])[i] = ((predicted[t] as number[])[i] as number) + along * value;
      });
      return row.map((value, i) => value - along * (direction[i] as number));
    });
  }
  const novel = residual.map((row) => relu(project(row)));
  const forward = novel.map((f, t) =>
    times(f, W_dec).map(
      (value, i) => value + ((predicted[t] as number[])[i] as number) + (b_dec[i] as number),
    ),
  );
  return { novel, forward };
}

function attend(now: Matrix, before: Matrix, layer: TemporalLayer, heads: number): Matrix {
  const apply = ({ weight, bias }: Linear, rows: Matrix) =>
    rows.map((row) => weight.map((w, i) => dot(w, row) + (bias[i] as number)));
  const [q, k, v] = [
    apply(layer.q_target, now),
    apply(layer.k_ctx, before),
    apply(layer.v_ctx, before),
  ];
  const part = (row: readonly number[], head: number) =>
    row.slice((head * row.length) / heads, ((head + 1) * row.length) / heads);
  const mixed = q.map((query, t) =>
    Array.from({ length: heads }, (_, head) => {
      const mine = part(query, head);
      const scores = k
        .slice(0, t + 1)
        .map((key) => dot(mine, part(key, head)) / Math.sqrt(mine.length));
      const top = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - top));
      const total = weights.reduce((a, b) => a + b, 0);
      return part(v[0] as number[], head).map((_, i) =>
        weights.reduce(
          (sum, w, s) => sum + (w / total) * (part(v[s] as number[], head)[i] as number),
          0,
        ),
      );
    }).flat(),
  );
  return apply(layer.c_proj, mixed);
}
