/**
 * The memory that loading takes, in a process of its own: a synthetic SAE of 100 MB in every form. What
 * stays is 1.0 times the weights; a reader must not hold much beside them. Safetensors in SAELens' form
 * are test/robustness/memory.test.ts.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { npz, torchCheckpoint } from '../support/archives.js';
import { program } from '../support/run.js';

const root = mkdtempSync(join(tmpdir(), 'monosem-loading-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const dIn = 512;
const dSae = 25_600;
const weightBytes = 4 * (2 * dIn * dSae + dIn + dSae);

/** Small values that repeat, so that they deflate, over `length` elements. */
function numbers(length: number): Float32Array {
  const period = Float32Array.from({ length: 4096 }, (_, i) => ((i * 37) % 101) / 1000 - 0.05);
  const out = new Float32Array(length);
  for (let i = 0; i < length; i += period.length) {
    out.set(period.subarray(0, Math.min(period.length, length - i)), i);
  }
  return out;
}

const arrays = (
  enc: number[],
  dec: number[],
  names: readonly [string, string, string, string],
) => ({
  [names[0]]: { shape: enc, data: numbers(dIn * dSae) },
  [names[1]]: { shape: dec, data: numbers(dIn * dSae) },
  [names[2]]: { shape: [dSae], data: numbers(dSae) },
  [names[3]]: { shape: [dIn], data: numbers(dIn) },
});

/** The peak beyond what the process had, over the weights' size. */
async function peak(path: string, options: object): Promise<number> {
  const { stdout, stderr } = await program(`
    import { readFileSync } from 'node:fs';
    import { SAE } from 'monosem';
    const peak = () => 1024 * Number(/VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
    const before = peak();
    const sae = await SAE.loadFromDisk(${JSON.stringify(path)}, ${JSON.stringify(options)});
    console.log((peak() - before) / ${weightBytes});
  `);
  expect(stderr).toBe('');
  return Number(stdout);
}

const onLinux = test.runIf(process.platform === 'linux');

onLinux.each([
  ['stored', {}, 1.2],
  ['deflated', { deflate: { level: 1 } }, 1.6],
])('an npz archive, %s', async (name, compression, bound) => {
  const folder = join(root, name, 'gemma-scope-2b-pt-transcoders_layer_3', 'width_25k');
  mkdirSync(folder, { recursive: true });
  const members = arrays([dIn, dSae], [dSae, dIn], ['w_enc', 'w_dec', 'b_enc', 'b_dec']);
  const threshold = { shape: [dSae], data: numbers(dSae) };
  writeFileSync(join(folder, 'params.npz'), npz({ ...members, threshold }, compression));
  const factor = await peak(folder, {
    loader: 'gemma_2_transcoder',
    cfgOverrides: { d_in: dIn, d_out: dIn, d_sae: dSae },
  });
  expect(factor).toBeGreaterThan(0.5); // or nothing was measured
  expect(factor).toBeLessThan(bound);
});

onLinux('a PyTorch checkpoint, both matrices transposed', async () => {
  const path = join(root, 'x-l19.pt');
  const names = ['encoder.weight', 'decoder.weight', 'encoder.bias', 'decoder.bias'] as const;
  writeFileSync(path, torchCheckpoint(arrays([dSae, dIn], [dIn, dSae], names)));
  const factor = await peak(path, {
    loader: 'deepseek_r1',
    dtype: 'float32',
    cfgOverrides: { d_in: dIn, d_sae: dSae },
  });
  expect(factor).toBeGreaterThan(0.5);
  expect(factor).toBeLessThan(1.6);
});

onLinux('safetensors in bfloat16, both matrices transposed', async () => {
  const folder = join(root, 'llama_scope');
  mkdirSync(join(folder, 'checkpoints'), { recursive: true });
  const hyperparams = {
    d_model: dIn,
    d_sae: dSae,
    hook_point_in: 'blocks.0.hook_resid_post',
    jump_relu_threshold: 1,
    dataset_average_activation_norm: { in: 1 },
  };
  writeFileSync(join(folder, 'hyperparams.json'), JSON.stringify(hyperparams));
  const shapes = {
    'decoder.bias': [dIn],
    'decoder.weight': [dIn, dSae],
    'encoder.bias': [dSae],
    'encoder.weight': [dSae, dIn],
  };
  let end = 0;
  const entries = Object.entries(shapes).map(([name, shape]) => {
    const start = end;
    end += 2 * shape.reduce((product, n) => product * n, 1);
    return [name, { dtype: 'BF16', shape, data_offsets: [start, end] }];
  });
  const header = JSON.stringify(Object.fromEntries(entries));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(header.length));
  const data = Buffer.alloc(end, Buffer.of(0x80, 0x3c)); // 0.015625
  const path = join(folder, 'checkpoints', 'final.safetensors');
  writeFileSync(path, Buffer.concat([prefix, Buffer.from(header), data]));
  const factor = await peak(folder, { loader: 'llama_scope', dtype: 'float32' });
  expect(factor).toBeGreaterThan(0.5);
  expect(factor).toBeLessThan(1.2);
});
