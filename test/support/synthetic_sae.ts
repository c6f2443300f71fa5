import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A standard SAE of any size as a folder on disk, with small random weights: for tests of memory and
 * time, where only sizes matter.
 */
export function writeSyntheticSae(folder: string, dIn: number, dSae: number): string {
  mkdirSync(folder, { recursive: true });
  const cfg = {
    architecture: 'standard',
    d_in: dIn,
    d_sae: dSae,
    dtype: 'float32',
    device: 'cpu',
    apply_b_dec_to_input: false,
    normalize_activations: 'none',
    reshape_activations: 'none',
    metadata: { sae_lens_version: '6.44.3', hook_name: 'blocks.0.hook_resid_post' },
  };
  writeFileSync(join(folder, 'cfg.json'), JSON.stringify(cfg));
  const shapes = { W_dec: [dSae, dIn], W_enc: [dIn, dSae], b_dec: [dIn], b_enc: [dSae] };
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const [name, shape] of Object.entries(shapes)) {
    const begin = end;
    end += 4 * shape.reduce((product, length) => product * length, 1);
    header[name] = { dtype: 'F32', shape, data_offsets: [begin, end] };
  }
  const json = JSON.stringify(header);
  const text = json.padEnd(Math.ceil(json.length / 8) * 8);
  const file = Buffer.alloc(8 + text.length + end);
  file.writeBigUInt64LE(BigInt(text.length));
  file.write(text, 8);
  const weights = new Float32Array(file.buffer, file.byteOffset + 8 + text.length, end / 4);
  let state = 1;
  for (let i = 0; i < weights.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    weights[i] = (state / 2 ** 32 - 0.5) * 0.05;
  }
  weights.fill(-1, weights.length - dSae); // b_enc: few features are on
  writeFileSync(join(folder, 'sae_weights.safetensors'), file);
  return folder;
}
