/** A plain float64 SAE for every architecture with a linear encoder, written from the equations alone. */

export interface Reference {
  readonly architecture: string;
  readonly dIn: number;
  readonly dSae: number;
  readonly dOut: number;
  readonly normalize: string;
  readonly applyBDecToInput: boolean;
  readonly k: number;
  readonly rescale: boolean;
  readonly weights: Readonly<Record<string, Float32Array>>;
}

export interface ReferenceToken {
  /** Dense activations. */
  readonly f: number[];
  /** How far each feature is from switching, relative to 1 + |its threshold|. */
  readonly margin: number[];
  /** How much normalisation enlarges the rounding of its input. */
  readonly condition: number;
  readonly decoded: number[];
  readonly forward: number[];
}

const dot = (a: ArrayLike<number>, b: (i: number) => number) => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * b(i);
  return sum;
};
const norm = (a: ArrayLike<number>) => Math.sqrt(dot(a, (i) => a[i] as number));

/** One token through the SAE. */
export function referenceToken(sae: Reference, x: ArrayLike<number>): ReferenceToken {
  const { dIn, dSae, dOut, weights } = sae;
  const isTranscoder = sae.architecture.includes('transcoder');
  const at = (name: string, i: number) => (weights[name] as Float32Array)[i] as number;
  const { y, undo, condition = 1 } = normalised(sae.normalize, x);
  const s = y.map((value, i) => value - (sae.applyBDecToInput ? at('b_dec', i) : 0));
  const product = (f: number) => dot(s, (i) => at('W_enc', i * dSae + f));
  const rowNorm = (f: number) =>
    norm((weights.W_dec as Float32Array).subarray(f * dOut, (f + 1) * dOut));
  const scale = (f: number) => (sae.architecture === 'topk' && sae.rescale ? rowNorm(f) : 1);
  const { f, margin } = activations(sae, product, scale, at);
  const recons = Array.from({ length: dOut }, (_, j) => {
    let sum = at('b_dec', j);
    f.forEach((value, i) => {
      if (value !== 0) sum += (value / scale(i)) * at('W_dec', i * dOut + j);
    });
    return sum;
  });
  const decoded = isTranscoder ? recons : recons.map(undo);
  const skip = (j: number) =>
    sae.architecture.includes('skip') ? dot(x, (i) => at('W_skip', j * dIn + i)) : 0;
  return { f, margin, condition, decoded, forward: decoded.map((value, j) => value + skip(j)) };
}

function activations(
  sae: Reference,
  product: (f: number) => number,
  scale: (f: number) => number,
  at: (name: string, i: number) => number,
): { f: number[]; margin: number[] } {
  const features = Array.from({ length: sae.dSae }, (_, i) => i);
  const far = (value: number, threshold: number) =>
    Math.abs(value - threshold) / (1 + Math.abs(threshold));
  if (sae.architecture === 'gated') {
    const gate = features.map((i) => product(i) + at('b_gate', i));
    const magnitude = features.map((i) => product(i) * Math.exp(at('r_mag', i)) + at('b_mag', i));
    return {
      f: features.map((i) => ((gate[i] as number) > 0 ? Math.max(magnitude[i] as number, 0) : 0)),
      margin: features.map((i) =>
        Math.min(far(gate[i] as number, 0), far(magnitude[i] as number, 0)),
      ),
    };
  }
  const pre = features.map((i) => (product(i) + at('b_enc', i)) * scale(i));
  if (sae.architecture === 'topk') {
    const order = features.toSorted((a, b) => (pre[b] as number) - (pre[a] as number) || a - b);
    const kept = new Set(order.slice(0, sae.k));
    const last = pre[order[sae.k - 1] as number] as number;
    const next = pre[order[sae.k] as number] ?? Number.NEGATIVE_INFINITY;
    return {
      f: features.map((i) => (kept.has(i) ? Math.max(pre[i] as number, 0) : 0)),
      margin: features.map((i) => {
        const cut = kept.has(i) ? next : last;
        return Math.min(far(pre[i] as number, cut), far(pre[i] as number, 0));
      }),
    };
  }
  const threshold = (i: number) =>
    sae.architecture.startsWith('jumprelu') ? Math.max(at('threshold', i), 0) : 0;
  return {
    f: features.map((i) => ((pre[i] as number) > threshold(i) ? (pre[i] as number) : 0)),
    margin: features.map((i) => far(pre[i] as number, threshold(i))),
  };
}

function normalised(mode: string, x: ArrayLike<number>) {
  const n = x.length;
  const values = Array.from(x);
  if (mode === 'constant_norm_rescale') {
    const c = Math.sqrt(n) / norm(values);
    return { y: values.map((value) => value * c), undo: (value: number) => value / c };
  }
  if (mode === 'layer_norm') {
    const mean = values.reduce((a, b) => a + b, 0) / n;
    const std = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (n - 1));
    return {
      y: values.map((value) => (value - mean) / (std + 1e-5)),
      undo: (value: number) => value * std + mean,
      condition: Math.max(1, norm(values) / (std + 1e-5)),
    };
  }
  return { y: values, undo: (value: number) => value };
}
