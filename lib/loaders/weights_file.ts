import type { Device } from '../device.js';
import { MonosemError } from '../error.js';
import { type DType, type NativeTensorFile, native } from '../native.js';
import { Tensor } from '../tensor.js';
import type { SaeFiles } from './files.js';
import { readNpzDirectory } from './npz_directory.js';
import { readSafetensorsHeader, type StoredTensor, widen } from './safetensors_header.js';

export type WeightsKind = 'safetensors' | 'npz' | 'torch';

/** A file of named tensors. */
export interface WeightsFile {
  /** In its repository, for messages. */
  readonly path: string;
  readonly tensors: ReadonlyMap<
    string,
    { readonly dtype: string; readonly shape: readonly number[] }
  >;
  load(name: string, dtype: DType | null, device: Device, transposed: boolean): Promise<Tensor>;
  /** One index of the first dimension, flattened. */
  row(name: string, index: number): Promise<Float32Array>;
  /** Closes the file; what was loaded stays. */
  dispose(): void;
}

/** A file on disk, mapped. */
export class LocalWeightsFile implements WeightsFile {
  readonly path: string;
  readonly tensors: WeightsFile['tensors'];
  readonly #file: NativeTensorFile;

  /** Throws what the native readers throw: ERR_FORMAT, ERR_DTYPE, ERR_UNSAFE_PICKLE, ERR_UNSUPPORTED. */
  constructor(path: string, local: string, kind: WeightsKind) {
    this.path = path;
    this.#file = native.openTensorFile(local, kind);
    this.tensors = new Map(
      this.#file.tensors.map(({ name, dtype, shape }) => [name, { dtype, shape }]),
    );
  }

  async load(
    name: string,
    dtype: DType | null,
    device: Device,
    transposed: boolean,
  ): Promise<Tensor> {
    return new Tensor(await native.loadTensor(this.#file, name, dtype, device, transposed, false));
  }

  async row(name: string, index: number): Promise<Float32Array> {
    const whole = await this.load(name, 'float32', 'cpu', false);
    try {
      return ((await whole.at(index).data()) as Float32Array).slice();
    } finally {
      whole.dispose();
    }
  }

  dispose(): void {
    this.#file.dispose();
  }
}

/**
 * A file on the hub of which only the directory was read, by ranges. Rows are read by ranges too; what
 * needs a whole tensor downloads the file.
 */
export class RemoteWeightsFile implements WeightsFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly #files: SaeFiles;
  readonly #kind: WeightsKind;

  private constructor(
    files: SaeFiles,
    path: string,
    kind: WeightsKind,
    tensors: ReadonlyMap<string, StoredTensor>,
  ) {
    this.#files = files;
    this.path = path;
    this.#kind = kind;
    this.tensors = tensors;
  }

  /** undefined for a file whose directory ranges do not give: a pickle, a compressed archive. */
  static async open(
    files: SaeFiles,
    path: string,
    kind: WeightsKind,
  ): Promise<RemoteWeightsFile | undefined> {
    if (kind === 'torch') return undefined;
    const read = kind === 'npz' ? readNpzDirectory : readSafetensorsHeader;
    const tensors = await read(files, path);
    return tensors && new RemoteWeightsFile(files, path, kind, tensors);
  }

  async load(
    name: string,
    dtype: DType | null,
    device: Device,
    transposed: boolean,
  ): Promise<Tensor> {
    const file = new LocalWeightsFile(this.path, await this.#files.file(this.path), this.#kind);
    try {
      return await file.load(name, dtype, device, transposed);
    } finally {
      file.dispose();
    }
  }

  async row(name: string, index: number): Promise<Float32Array> {
    const tensor = this.tensors.get(name);
    const rows = tensor?.shape[0];
    if (tensor === undefined || rows === undefined || index < 0 || index >= rows) {
      throw new MonosemError(
        'ERR_INVALID_ARGUMENT',
        `${this.path}: ${name} has ${rows ?? 'no'} rows, ${index} is none of them`,
      );
    }
    const bytes = (tensor.end - tensor.start) / rows;
    const start = tensor.start + index * bytes;
    return widen(tensor.dtype, await this.#files.readRange(this.path, start, start + bytes));
  }

  dispose(): void {}
}
