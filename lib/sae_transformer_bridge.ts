import { HookedSAETransformer } from './hooked_sae_transformer.js';
import type { LoadOptions } from './hub/options.js';
import { type LoadedModel, loadModel } from './model/load.js';

/**
 * HookedSAETransformer under the names of TransformerLens 3's TransformerBridge: hooks see, and caches
 * are keyed by, `blocks.12.hook_out` rather than `blocks.12.hook_resid_post`. Either is understood.
 */
export class SAETransformerBridge extends HookedSAETransformer {
  /** @internal */
  constructor(model: LoadedModel) {
    super(model, 'bridge');
  }

  /** Weights as published, as `SAETransformerBridge.boot_transformers` loads them. */
  static async bootTransformers(
    name: string,
    options: LoadOptions = {},
  ): Promise<SAETransformerBridge> {
    return new this(await loadModel(name, { ...options }));
  }
}
