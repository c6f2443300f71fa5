import { MonosemError } from '../error.js';
import type { ModelConfig } from '../model/config.js';
import type { SAE } from './sae.js';

/** The weight processing SAELens passes on to TransformerLens, and its names here. */
const PROCESSING = [
  ['fold_ln', 'foldLn'],
  ['center_writing_weights', 'centerWritingWeights'],
  ['center_unembed', 'centerUnembed'],
] as const;

/**
 * Asserts that an SAE can sit in a model: the widths at its points, the device, and the weight processing
 * its metadata asks for. Throws ERR_SHAPE, ERR_DEVICE or ERR_INVALID_ARGUMENT saying what to change.
 */
export function checkFit(
  sae: SAE,
  model: { readonly cfg: ModelConfig; readonly device: string },
  points: { readonly inputPoint: string; readonly point: string },
): void {
  const { dIn, dOut = dIn } = sae.cfg;
  checkWidth('reads', dIn, points.inputPoint, model.cfg);
  checkWidth('writes', dOut, points.point, model.cfg);
  if (sae.device !== model.device) {
    throw new MonosemError(
      'ERR_DEVICE',
      `the SAE is on ${sae.device}, the model on ${model.device}; move the SAE with to({ device: '${model.device}' })`,
    );
  }
  const wishes = sae.cfg.metadata.modelFromPretrainedKwargs ?? {};
  for (const [theirs, ours] of PROCESSING) {
    const wish = wishes[theirs];
    if (typeof wish !== 'boolean' || wish === model.cfg.processing[ours]) continue;
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      `this SAE was trained on a model loaded with ${theirs}: ${wish}, this model has ${ours}: ${!wish}; ` +
        `load it with fromPretrainedNoProcessing('${model.cfg.modelName}', { ${ours}: ${wish} })`,
    );
  }
}

function checkWidth(does: string, width: number, point: string, cfg: ModelConfig): void {
  const has = widthOf(point, cfg);
  if (has === undefined || has === width) return;
  throw new MonosemError(
    'ERR_SHAPE',
    `this SAE ${does} activations of width ${width}, '${point}' of ${cfg.modelName} has width ${has}; ` +
      'was it trained on another model?',
  );
}

/** Width of what a point carries, heads flattened; undefined for points that no SAE could sit at by width. */
function widthOf(point: string, cfg: ModelConfig): number | undefined {
  const name = point.replace(/^blocks\.\d+\./, '');
  if (/^attn\.(hook_(q|z|rot_q)|q\.hook_out|o\.hook_in)$/.test(name)) return cfg.nHeads * cfg.dHead;
  if (/^attn\.(hook_(k|v|rot_k)|[kv]\.hook_out)$/.test(name)) {
    return cfg.nKeyValueHeads * cfg.dHead;
  }
  if (/^mlp\.(hook_(pre|pre_linear|post)|in\.hook_out|gate\.hook_out|out\.hook_in)$/.test(name)) {
    return cfg.dMlp;
  }
  if (/^unembed\.hook_out$/.test(name)) return cfg.dVocab;
  return /(scale|attn_scores|pattern|_norm\.hook_normalized|hook_tokens)$/.test(name)
    ? undefined
    : cfg.dModel;
}
