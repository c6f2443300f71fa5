/** What examples/ and docs/ use of onnxruntime-node, which is not installed with this package. */
export class Tensor {
  constructor(
    type: string,
    data: BigInt64Array | Float32Array | readonly number[],
    dims: readonly number[],
  );
  readonly type: string;
  readonly data: BigInt64Array | Float32Array;
  readonly dims: readonly number[];
}

export type ValueMetadata =
  | { readonly isTensor: false; readonly name: string }
  | {
      readonly isTensor: true;
      readonly name: string;
      readonly type: string;
      readonly shape: readonly (number | string)[];
    };

export class InferenceSession {
  static create(model: Uint8Array | string): Promise<InferenceSession>;
  readonly inputMetadata: readonly ValueMetadata[];
  run(
    feeds: Readonly<Record<string, Tensor>>,
    fetches: readonly string[],
  ): Promise<Readonly<Record<string, Tensor>>>;
}
