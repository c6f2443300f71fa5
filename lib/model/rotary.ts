import type { Device } from '../device.js';
import { MonosemError } from '../error.js';
import { Tensor } from '../tensor.js';
import type { JsonReader } from './json_reader.js';

/** How the angles of one rotation scale: angle = position * frequency. */
export type RotaryScaling =
  | { readonly kind: 'default' }
  | { readonly kind: 'linear'; readonly factor: number }
  | {
      readonly kind: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalContext: number;
    };

export interface RotaryConfig {
  readonly theta: number;
  /** Leading dimensions of each head that turn, in pairs (i, i + dim/2). */
  readonly dim: number;
  readonly scaling: RotaryScaling;
}

/**
 * Reads either generation of configuration: `rope_parameters` (transformers 5) or `rope_theta` beside
 * `rope_scaling`. `parameters` is the object that holds rope_type and factor; absent means default.
 */
export function readRotary(
  parameters: JsonReader | undefined,
  theta: number,
  dim: number,
): RotaryConfig {
  const type = parameters?.string('rope_type', parameters.string('type', 'default')) ?? 'default';
  const base = parameters?.number('rope_theta', theta) ?? theta;
  if (!Number.isInteger(dim / 2) || dim < 2) {
    throw new MonosemError(
      'ERR_FORMAT',
      `a rotation turns an even number of dimensions of each head, config.json asks for ${dim}`,
    );
  }
  return { theta: base, dim, scaling: readScaling(type, parameters) };
}

function readScaling(type: string, parameters: JsonReader | undefined): RotaryScaling {
  if (parameters === undefined || type === 'default') return { kind: 'default' };
  if (type === 'linear') return { kind: 'linear', factor: parameters.number('factor') };
  if (type === 'llama3') {
    return {
      kind: 'llama3',
      factor: parameters.number('factor'),
      lowFreqFactor: parameters.number('low_freq_factor'),
      highFreqFactor: parameters.number('high_freq_factor'),
      originalContext: parameters.number('original_max_position_embeddings'),
    };
  }
  throw new MonosemError(
    'ERR_UNSUPPORTED',
    `${parameters.where}: rope_type '${type}' is not supported; supported are default, linear and llama3`,
  );
}

/** The dim/2 frequencies in float32, as Hugging Face's rotary modules compute them. */
export function inverseFrequencies({ theta, dim, scaling }: RotaryConfig): Float32Array {
  return Float32Array.from({ length: dim / 2 }, (_, i) => {
    const frequency = Math.fround(1 / Math.fround(theta ** ((2 * i) / dim)));
    if (scaling.kind === 'default') return frequency;
    if (scaling.kind === 'linear') return frequency / scaling.factor;
    const wavelength = (2 * Math.PI) / frequency;
    const { factor, lowFreqFactor: low, highFreqFactor: high, originalContext } = scaling;
    if (wavelength < originalContext / high) return frequency;
    if (wavelength > originalContext / low) return frequency / factor;
    const smooth = (originalContext / wavelength - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

interface Table {
  readonly config: RotaryConfig;
  readonly frequencies: Float32Array;
  positions: number;
  cos?: Tensor;
  sin?: Tensor;
}

/** Cosines and sines [positions, dim/2] of a model's rotations, grown to the longest text seen. */
export class RotaryTables implements Disposable {
  readonly #tables: Table[] = [];
  readonly #device: Device;

  constructor(device: Device) {
    this.#device = device;
  }

  /** Tables with at least that many positions; they belong to this object. */
  get(config: RotaryConfig, positions: number): { cos: Tensor; sin: Tensor } {
    let table = this.#tables.find((t) => t.config === config || sameRotation(t.config, config));
    if (table === undefined) {
      table = { config, frequencies: inverseFrequencies(config), positions: 0 };
      this.#tables.push(table);
    }
    if (table.cos === undefined || table.sin === undefined || table.positions < positions) {
      this.#fill(table, Math.max(positions, 2 * table.positions, 128));
    }
    return { cos: table.cos as Tensor, sin: table.sin as Tensor };
  }

  #fill(table: Table, positions: number): void {
    const half = table.frequencies.length;
    const cos = new Float32Array(positions * half);
    const sin = new Float32Array(positions * half);
    for (let position = 0; position < positions; position++) {
      for (let i = 0; i < half; i++) {
        const angle = Math.fround(position * (table.frequencies[i] as number));
        cos[position * half + i] = Math.cos(angle);
        sin[position * half + i] = Math.sin(angle);
      }
    }
    table.cos?.dispose();
    table.sin?.dispose();
    table.cos = Tensor.from(cos, [positions, half], { device: this.#device });
    table.sin = Tensor.from(sin, [positions, half], { device: this.#device });
    table.positions = positions;
  }

  dispose(): void {
    for (const { cos, sin } of this.#tables) {
      cos?.dispose();
      sin?.dispose();
    }
    this.#tables.length = 0;
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}

function sameRotation(a: RotaryConfig, b: RotaryConfig): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
