// A synthetic SAE and inputs that look like a residual stream: unit decoder directions in
// superposition, each token the sum of a few of them with positive strengths, on a common offset with
// massive activations. Never zeros: sparsity, and so the cost of a sparse encoder, comes from the data.
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tensor } from '../dist/index.js';

/**
 * Massive activations: so many dimensions carry most of a token's norm, whatever the token says. Their
 * size makes the norm about ten times what the features give it; it varies by a fifth between tokens,
 * and encoders read little of it.
 */
const massive = 6;
const massiveReadout = 0.05;

/** Where they are in a vector of `dIn`. */
const massiveDimensions = (dIn) =>
  Array.from({ length: massive }, (_, n) => Math.floor(((n + 0.5) * dIn) / massive));

/** mulberry32, and a normal number from it by the sum of 4 uniforms (Irwin-Hall: near enough here). */
function random(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = () => (uniform() + uniform() + uniform() + uniform() - 2) * Math.sqrt(3);
  return { uniform, normal };
}

/**
 * W_dec [d_sae, d_in] with unit rows, W_enc [d_in, d_sae] its transpose, b_dec the offset, and a b_enc
 * that leaves about `l0` features on: relu((x - b_dec) W_enc - threshold) with the offset folded in.
 */
function syntheticSae({ dIn, dSae, l0, seed = 1 }) {
  const { uniform, normal } = random(seed);
  const outliers = massiveDimensions(dIn);
  const W_dec = new Float32Array(dSae * dIn);
  const W_enc = new Float32Array(dIn * dSae);
  for (let f = 0; f < dSae; f++) {
    const row = W_dec.subarray(f * dIn, (f + 1) * dIn);
    for (let i = 0; i < dIn; i++) row[i] = normal();
    for (const i of outliers) row[i] *= massiveReadout;
    const square = dot(row, 0, row, 0, dIn);
    for (let i = 0; i < dIn; i++) {
      row[i] /= Math.sqrt(square);
      W_enc[i * dSae + f] = row[i];
    }
  }
  const b_dec = Float32Array.from({ length: dIn }, () => 0.3 * normal());
  for (const i of outliers) b_dec[i] = (uniform() < 0.5 ? -1 : 1) * (80 + 320 * uniform());
  const sae = { dIn, dSae, W_enc, b_enc: new Float32Array(dSae), W_dec, b_dec };
  const threshold = calibrate(sae, l0);
  for (let f = 0; f < dSae; f++) sae.b_enc[f] = -threshold - dot(W_dec, f * dIn, b_dec, 0, dIn);
  return sae;
}

function dot(a, atA, b, atB, length) {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[atA + i] * b[atB + i];
  return sum;
}

/** The threshold that `l0` features of a token reach, in the mean of some tokens. */
function calibrate(sae, l0) {
  const { dIn, dSae, W_enc, b_dec } = sae;
  const tokens = 64;
  const centred = syntheticInput(sae, { batch: tokens, l0, seed: 3 }).map(
    (value, at) => value - b_dec[at % dIn],
  );
  const x = Tensor.from(centred, [tokens, dIn]);
  const weights = Tensor.from(W_enc, [dIn, dSae]);
  const pre = x.matmul(weights);
  const sorted = pre.dataSync().sort();
  for (const tensor of [x, weights, pre]) tensor.dispose();
  return sorted[sorted.length - tokens * l0];
}

/**
 * x [batch, d_in]: `l0` features of random strength each, plus the offset, its massive part more or less,
 * and a little noise.
 */
function syntheticInput(sae, { batch, l0, seed = 2 }) {
  const { dIn, dSae, W_dec, b_dec } = sae;
  const { uniform, normal } = random(seed);
  const outliers = massiveDimensions(dIn);
  const x = new Float32Array(batch * dIn);
  for (let token = 0; token < batch; token++) {
    const row = x.subarray(token * dIn, (token + 1) * dIn);
    for (let i = 0; i < dIn; i++) row[i] = b_dec[i] + 0.01 * normal();
    for (const i of outliers) row[i] *= 0.8 + 0.4 * uniform();
    for (let n = 0; n < l0; n++) {
      const feature = Math.floor(uniform() * dSae);
      const strength = 4 + 4 * uniform();
      const direction = W_dec.subarray(feature * dIn, (feature + 1) * dIn);
      for (let i = 0; i < dIn; i++) row[i] += strength * direction[i];
    }
  }
  return x;
}

/** The SAE of a trial, stored in `folder`, and its inputs. */
export function storedSae(trial, folder) {
  const sae = syntheticSae(trial);
  const stored = writeSae(folder, sae, trial.operation === 'topk' ? trial.l0 : undefined);
  return { ...sae, ...stored, input: (one) => syntheticInput(sae, one) };
}

/**
 * The SAE as a folder that SAELens, and we, load: cfg.json and sae_weights.safetensors. Returns where the
 * tensors are: the file, and the byte at which each begins.
 */
function writeSae(folder, sae, k) {
  mkdirSync(folder, { recursive: true });
  const { dIn, dSae } = sae;
  const config = {
    ...(k === undefined ? { architecture: 'standard' } : { architecture: 'topk', k }),
    d_in: dIn,
    d_sae: dSae,
    dtype: 'float32',
    device: 'cpu',
    apply_b_dec_to_input: false,
    normalize_activations: 'none',
    reshape_activations: 'none',
    metadata: { sae_lens_version: '6.44.3', hook_name: 'blocks.0.hook_resid_post' },
  };
  writeFileSync(join(folder, 'cfg.json'), JSON.stringify(config));
  const tensors = { W_dec: [dSae, dIn], W_enc: [dIn, dSae], b_dec: [dIn], b_enc: [dSae] };
  const header = {};
  let end = 0;
  for (const [name, shape] of Object.entries(tensors)) {
    const offsets = [end, end + sae[name].byteLength];
    header[name] = { dtype: 'F32', shape, data_offsets: offsets };
    end = offsets[1];
  }
  const json = JSON.stringify(header);
  const padded = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const file = join(folder, 'sae_weights.safetensors');
  writeFileSync(file, Buffer.concat([length, padded]));
  for (const name of Object.keys(tensors)) appendFileSync(file, Buffer.from(sae[name].buffer));
  const offsets = Object.fromEntries(
    Object.entries(header).map(
      ([
        name,
        {
          data_offsets: [from],
        },
      ]) => [name, 8 + padded.length + from],
    ),
  );
  return { folder, file, offsets };
}
