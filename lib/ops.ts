/**
 * The transformer's operators on Tensors: each queues one native command (semantics in
 * cpp/core/backend.h). Storage of a result is that of its first operand.
 */
import { type NativeTensor, Norm, native, Unary } from './native.js';
import { Tensor } from './tensor.js';

export type Activation = 'gelu' | 'gelu_tanh' | 'silu' | 'relu';

const activationCode = {
  gelu: Unary.gelu,
  gelu_tanh: Unary.geluTanh,
  silu: Unary.silu,
  relu: Unary.relu,
} as const satisfies Record<Activation, number>;

const handleOf = (t: Tensor | undefined): NativeTensor | null => t?.handle ?? null;

/** x [..., k] @ w [k, n] (+ bias [n]), then the activation. `w` may be a transposed view. */
export function linear(x: Tensor, w: Tensor, bias?: Tensor, activation?: Activation): Tensor {
  const code = activation === undefined ? -1 : activationCode[activation];
  return new Tensor(native.linear(x.handle, w.handle, handleOf(bias), code));
}

export function activate(x: Tensor, activation: Activation): Tensor {
  return new Tensor(native.unary(activationCode[activation], x.handle, 0));
}

/** cap * tanh(x / cap). */
export function softcap(x: Tensor, cap: number): Tensor {
  return new Tensor(native.unary(Unary.softcap, x.handle, cap));
}

export interface NormOptions {
  readonly kind: 'layer' | 'rms';
  readonly eps: number;
  /** Added to the weight: 1 for Gemma, which stores weight - 1. */
  readonly weightOffset: number;
}

/** LayerNorm or RMSNorm over the last dimension. */
export function norm(
  x: Tensor,
  weight: Tensor | undefined,
  bias: Tensor | undefined,
  options: NormOptions,
): Tensor {
  const { kind, eps, weightOffset } = options;
  const [out] = native.norm(
    x.handle,
    handleOf(weight),
    handleOf(bias),
    Norm[kind],
    eps,
    weightOffset,
    false,
  );
  return new Tensor(out);
}

/**
 * The same with its parts: scale = sqrt(mean((x - mu)^2) + eps) [..., 1] and normalized = (x - mu) /
 * scale [..., d], both float32.
 */
export function normWithStatistics(
  x: Tensor,
  weight: Tensor | undefined,
  bias: Tensor | undefined,
  options: NormOptions,
): { out: Tensor; scale: Tensor; normalized: Tensor } {
  const { kind, eps, weightOffset } = options;
  const [out, scale, normalized] = native.norm(
    x.handle,
    handleOf(weight),
    handleOf(bias),
    Norm[kind],
    eps,
    weightOffset,
    true,
  );
  return {
    out: new Tensor(out),
    scale: new Tensor(scale as NativeTensor),
    normalized: new Tensor(normalized as NativeTensor),
  };
}

/** x [b, p, n, d_head] turned by the rows `positions` [b, p] of the angle tables [positions, half]. */
export function rope(x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor): Tensor {
  return new Tensor(native.rope(x.handle, cos.handle, sin.handle, positions.handle));
}

export interface AttentionOptions {
  readonly scale: number;
  /** 0: none. */
  readonly softcap: number;
  /** Keys a query sees, itself included; 0: all before it. */
  readonly window: number;
}

/** Fused causal attention: q [b, p, n, d_head], k and v [b, s, n_kv, d_head], mask int32 [b, s]. */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  mask: Tensor | undefined,
  { scale, softcap, window }: AttentionOptions,
): Tensor {
  return new Tensor(
    native.attention(q.handle, k.handle, v.handle, handleOf(mask), scale, softcap, window),
  );
}

/** Its scores before the softmax: float32 [b, n, p, s], -inf where a key is not visible. */
export function attentionScores(
  q: Tensor,
  k: Tensor,
  mask: Tensor | undefined,
  { scale, softcap, window }: AttentionOptions,
): Tensor {
  return new Tensor(
    native.attentionScores(q.handle, k.handle, handleOf(mask), scale, softcap, window),
  );
}

/** source [rows, ...], rows int32 [...]: what the rows say. */
export function gatherRows(source: Tensor, rows: Tensor): Tensor {
  return new Tensor(native.gatherRows(source.handle, rows.handle));
}

/** source [..., n], columns int32 [..., m]: [..., m]. */
export function gather(source: Tensor, columns: Tensor): Tensor {
  return new Tensor(native.gather(source.handle, columns.handle));
}

/** Another handle on the same memory, with a life of its own. */
export function alias(t: Tensor): Tensor {
  return new Tensor(native.alias(t.handle));
}

/** Resolves when everything queued so far has run; rejects with its first error. */
export function fence(device: string): Promise<void> {
  return native.fence(device);
}

/** A tensor of that shape with the dtype and device of another. */
export function zerosOf(t: Tensor, shape: readonly number[]): Tensor {
  return new Tensor(native.full(shape, 0, t.dtype, t.device));
}
