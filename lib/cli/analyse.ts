/** What an SAE says about one text: the numbers behind `demo` and `features`. */
import type { FeatureHit, Tensor } from '../index.js';
import type { Opened } from './open.js';

export interface Analysis {
  readonly text: string;
  readonly tokens: readonly { readonly token: string; readonly features: readonly FeatureHit[] }[];
  /** Mean active features per token. Like explainedVariance, without the BOS token. */
  readonly l0: number;
  /** 1 - sum |x - recons|² / sum |x - mean(x)|², over the tokens. */
  readonly explainedVariance: number;
  /** Nats per token, as the model is and with the reconstruction in place of the activation. */
  readonly loss: number;
  readonly lossWithSae: number;
  readonly milliseconds: {
    readonly model: number;
    readonly encode: number;
    readonly decode: number;
  };
}

/** Features are the strongest `top` of each token, strongest first. */
export async function analyse(opened: Opened, text: string, top: number): Promise<Analysis> {
  const { model, sae, hookName, hookNameOut } = opened;
  const prependBos = sae.cfg.metadata.prependBos ?? true;
  const tokens = model.toTokens(text, { prependBos });
  const start = performance.now();
  const { logits, cache } = await model.runWithCache(tokens, {
    namesFilter: [hookName, hookNameOut],
  });
  logits.dispose();
  using _ = cache;
  const modelled = performance.now();
  using acts = await sae.encode(cache.get(hookName));
  const encoded = performance.now();
  using recons = await sae.decode(acts);
  const decoded = performance.now();

  const skip = prependBos ? 1 : 0;
  const hits = await acts.topk(sae.cfg.dSae);
  const words = model.toStrTokens(tokens.ids);
  const counted = hits.slice(skip);
  return {
    text,
    tokens: words.map((token, i) => ({ token, features: i < skip ? [] : hits[i]!.slice(0, top) })),
    l0: counted.reduce((sum, row) => sum + row.length, 0) / Math.max(1, counted.length),
    explainedVariance: await explainedVariance(
      cache.get(hookNameOut),
      recons,
      tokens.ids.length,
      skip,
    ),
    loss: await number(model.forward(tokens, { returnType: 'loss' })),
    lossWithSae: await number(model.runWithSaes(tokens, { returnType: 'loss', saes: [sae] })),
    milliseconds: {
      model: modelled - start,
      encode: encoded - modelled,
      decode: decoded - encoded,
    },
  };
}

/** The number in a result, which is freed. */
export async function number(result: Promise<Tensor>): Promise<number> {
  using tensor = await result;
  return tensor.item();
}

async function explainedVariance(
  target: Tensor,
  recons: Tensor,
  tokens: number,
  skip: number,
): Promise<number> {
  const width = target.size / tokens;
  const x = await float32(target);
  const y = await float32(recons);
  const mean = new Float64Array(width);
  for (let i = skip * width; i < x.length; i++) mean[i % width]! += x[i]! / (tokens - skip);
  let error = 0;
  let variance = 0;
  for (let i = skip * width; i < x.length; i++) {
    error += (x[i]! - y[i]!) ** 2;
    variance += (x[i]! - mean[i % width]!) ** 2;
  }
  return 1 - error / variance;
}

async function float32(tensor: Tensor): Promise<Float32Array> {
  using wide = tensor.to({ dtype: 'float32' });
  return (await wide.data()) as Float32Array;
}
