import type { ModelConfig } from '../config.js';
import type { JsonReader } from '../json_reader.js';
import type { WeightFiles } from '../weight_files.js';
import type { ModelWeights } from '../weights.js';

/** What a family reads out of config.json; the rest of ModelConfig is the same for all. */
export type FamilyConfig = Omit<
  ModelConfig,
  'modelName' | 'modelType' | 'family' | 'dtype' | 'processing'
>;

/** Where Hugging Face's modules of a family are: the path of each inside the model or a block. */
export interface ModuleNames {
  /** In front of everything but the head; every spelling seen, the usual one first. */
  readonly prefixes: readonly string[];
  readonly embed: string;
  readonly layers: string;
  readonly ln1: string;
  readonly ln1Post?: string;
  readonly ln2: string;
  readonly ln2Post?: string;
  readonly attn: string;
  /** Inside the attention module. Absent where one module makes all three. */
  readonly q?: string;
  readonly k?: string;
  readonly v?: string;
  readonly o: string;
  readonly mlp: string;
  /** Inside the MLP module. */
  readonly mlpIn?: string;
  readonly mlpGate?: string;
  readonly mlpOut?: string;
  readonly lnFinal: string;
  readonly heads: readonly string[];
}

/** One family of models: how its config.json is read, its weights are named, its modules are called. */
export interface Family {
  readonly name: string;
  /** Values of `model_type`. */
  readonly modelTypes: readonly string[];
  /** `text` is the language model's part: config.json itself, or its `text_config`. */
  config(text: JsonReader): FamilyConfig;
  weights(files: WeightFiles, cfg: ModelConfig): ModelWeights;
  /** Tensors of the files that the language model does not read (buffers, vision towers). */
  readonly ignores: RegExp;
  readonly modules: ModuleNames;
}
