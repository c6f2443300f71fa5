import { MonosemError } from '../error.js';
import type { WeightSource } from './loader.js';

/**
 * What becomes of `scaling_factor`, which SAELens 2 learnt in finetuning: all ones, it says nothing and is
 * dropped; else the SAE would need it, and SAELens 6 has no place for it.
 */
export async function settleScalingFactor(
  sources: Readonly<Record<string, WeightSource>>,
  isFinetuned: unknown,
): Promise<Record<string, WeightSource>> {
  const { scaling_factor: factor, ...rest } = sources;
  if (factor === undefined) return rest;
  const tensor = await factor.load('float32', 'cpu');
  const values = (await tensor.data()) as Float32Array;
  tensor.dispose();
  // numpy's and torch's allclose
  if (values.every((value) => Math.abs(value - 1) <= 1e-8 + 1e-5)) return rest;
  throw new MonosemError(
    'ERR_UNSUPPORTED',
    `the weights hold a scaling_factor that is not all ones, and the configuration says finetuning_scaling_factor: ${isFinetuned ?? 'nothing'}. SAEs finetuned so cannot be loaded, by SAELens 6 neither; multiply the factor into W_dec and remove it.`,
  );
}
