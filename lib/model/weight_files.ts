import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { throwIfAborted } from '../abort.js';
import type { Device } from '../device.js';
import { MonosemError } from '../error.js';
import { type DType, type NativeTensorFile, native } from '../native.js';
import { nearest } from '../nearest.js';
import { Tensor } from '../tensor.js';
import { JsonReader } from './json_reader.js';
import { checkShape } from './weights.js';

export const WEIGHTS = 'model.safetensors';
export const WEIGHTS_INDEX = 'model.safetensors.index.json';

/**
 * The weights of a model folder: safetensors, one file or shards behind an index, mapped. Tensors of the
 * wanted dtype look at the mapping; others are converted, one at a time.
 */
export class WeightFiles implements Disposable {
  readonly #files: NativeTensorFile[] = [];
  readonly #tensors = new Map<string, Tensor>();
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Vectors (biases, norms) are float32 whatever the dtype: they are small, and arithmetic is float32.
   * `isWanted` keeps what the language model does not read from being converted.
   */
  static async open(
    folder: string,
    dtype: DType,
    device: Device,
    isWanted: (name: string) => boolean,
    signal?: AbortSignal,
  ): Promise<WeightFiles> {
    const files = new WeightFiles(folder);
    try {
      for (const path of await weightPaths(folder)) {
        const file = native.openTensorFile(path, 'safetensors');
        files.#files.push(file);
        for (const { name, shape } of file.tensors) {
          if (!isWanted(name)) continue;
          throwIfAborted(signal);
          const type = shape.length === 1 ? 'float32' : dtype;
          // Read whole at every forward: in huge pages of ours a prefill is 7 % faster than in a mapping.
          const loaded = await native.loadTensor(file, name, type, device, false, true);
          files.#tensors.set(name, new Tensor(loaded));
        }
      }
    } catch (error) {
      files.dispose();
      throw error;
    }
    return files;
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** The first of several spellings of a name's beginning that the files use. */
  prefix(candidates: readonly string[], name: string): string {
    const found = candidates.find((prefix) => this.has(prefix + name));
    if (found === undefined) throw this.#missing((candidates[0] ?? '') + name);
    return found;
  }

  /** ERR_FORMAT when the tensor is missing or of another shape. It belongs to this object. */
  get(name: string, shape: readonly number[]): Tensor {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) throw this.#missing(name);
    checkShape(name, tensor.shape, shape);
    return tensor;
  }

  #missing(name: string): MonosemError {
    const near = nearest(name, this.#tensors.keys(), 3);
    return new MonosemError(
      'ERR_FORMAT',
      `the weights in ${this.#folder} lack '${name}', which config.json calls for` +
        (near.length > 0 ? `; nearest: ${near.join(', ')}` : ''),
    );
  }

  dispose(): void {
    for (const tensor of this.#tensors.values()) tensor.dispose();
    for (const file of this.#files) file.dispose();
    this.#tensors.clear();
    this.#files.length = 0;
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}

async function weightPaths(folder: string): Promise<readonly string[]> {
  const index = join(folder, WEIGHTS_INDEX);
  if (existsSync(index)) {
    const shards = weightShards(await JsonReader.file(index));
    return shards.map((shard) => join(folder, shard));
  }
  const single = join(folder, WEIGHTS);
  if (existsSync(single)) return [single];
  throw new MonosemError(
    'ERR_NOT_FOUND',
    `${folder} holds no ${WEIGHTS} and no ${WEIGHTS_INDEX}; a model is loaded from safetensors ` +
      '(convert pytorch_model.bin with transformers: save_pretrained)',
  );
}

/** The files an index points to: names beside it, whatever it says. */
export function weightShards(index: JsonReader): readonly string[] {
  const map = index.object('weight_map');
  if (map === undefined) {
    throw new MonosemError('ERR_FORMAT', `${index.where}: 'weight_map' is missing`);
  }
  const shards = [...new Set(map.keys().map((key) => map.string(key)))].sort();
  const strange = shards.find((name) => !/^[\w][^/\\]*\.safetensors$/.test(name));
  if (strange !== undefined) {
    throw index.wrong('weight_map', 'names of .safetensors files beside it', strange);
  }
  return shards;
}
