/** Plain float64 tensors: the reference that native operators are tested against. */
export interface Plain {
  readonly data: Float64Array;
  readonly shape: readonly number[];
}

export const count = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

export function plain(shape: readonly number[], at: (index: number[]) => number): Plain {
  const data = new Float64Array(count(shape));
  const index = shape.map(() => 0);
  for (let i = 0; i < data.length; i++) {
    data[i] = at(index);
    for (let dim = shape.length - 1; dim >= 0; dim--) {
      if (++(index[dim] as number) < (shape[dim] as number)) break;
      index[dim] = 0;
    }
  }
  return { data, shape };
}

export function get(t: Plain, index: readonly number[]): number {
  let offset = 0;
  t.shape.forEach((length, dim) => {
    offset = offset * length + (index[dim] as number);
  });
  return t.data[offset] as number;
}

/** `t` read at an index of a shape that it broadcasts to. */
export function getBroadcast(t: Plain, index: readonly number[]): number {
  const own = index.slice(index.length - t.shape.length);
  return get(
    t,
    own.map((i, dim) => (t.shape[dim] === 1 ? 0 : i)),
  );
}

export function broadcastShape(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, dim) => {
    const left = a[a.length - rank + dim] ?? 1;
    const right = b[b.length - rank + dim] ?? 1;
    return left === 1 ? right : left;
  });
}

/** Over one dimension: `fold` of the values along it. */
export function along(t: Plain, dim: number, fold: (values: number[]) => number): Plain {
  const kept = t.shape.filter((_, i) => i !== dim);
  return plain(kept, (index) =>
    fold(
      Array.from({ length: t.shape[dim] as number }, (_, i) =>
        get(t, [...index.slice(0, dim), i, ...index.slice(dim)]),
      ),
    ),
  );
}
