/**
 * Programs as users write them, by the contract: SAELens' usage guide and the rest of the surface.
 * Type-checked twice, against the contract's declarations and against the package; never run.
 */
import {
  ActivationCache,
  AutoModel,
  AutoModelForCausalLM,
  type Device,
  devices,
  type ErrorCode,
  FeatureActs,
  HookedSAETransformer,
  HookedTransformer,
  type HookPoint,
  LanguageModel,
  MonosemError,
  registry,
  SAE,
  SAETransformerBridge,
  scope,
  Tensor,
} from 'monosem';

const release = 'gemma-scope-2b-pt-res-canonical';
const saeId = 'layer_12/width_16k/canonical';

export async function loading(): Promise<SAE> {
  const device: Device = devices.cuda.isAvailable() ? 'cuda' : 'cpu';
  const reason: string | undefined = devices.cuda.reason();
  for (const { name, memory, detail } of devices.list()) console.log(name, memory, detail, reason);
  const fromRepository = await SAE.fromPretrained('your-username/your-sae-repo', 'path/to/sae', {
    device,
    dtype: 'bfloat16',
    revision: 'main',
    token: 'hf_…',
    cacheDir: '/tmp',
    endpoint: 'https://example.org',
    offline: false,
    forceDownload: false,
    loader: 'sae_lens',
    cfgOverrides: { d_in: 2304 },
    foldWDecNorm: true,
    precision: 'certified',
    signal: new AbortController().signal,
    onProgress: ({ file, loaded, total }) => console.log(file, loaded / total),
  });
  fromRepository.dispose();
  const { sae, cfgDict, logSparsity } = await SAE.fromPretrainedWithCfgAndSparsity(release, saeId);
  console.log(Object.keys(cfgDict), logSparsity?.shape);
  const row: Float32Array = await SAE.fetchDecoderRow(release, saeId, 1000);
  console.log(row.length);
  const paths = await sae.saveModel('/tmp/sae');
  console.log(paths.weightsPath, paths.cfgPath);
  return SAE.loadFromDisk('/path/to/your/sae', { device: 'cuda', dtype: 'float16' });
}

export async function encodeAndDecode(sae: SAE): Promise<void> {
  const activations = Tensor.randn([1, 128, 2304], { device: 'cuda', seed: 1 });
  const featureActs = await sae.encode(activations);
  const activeFeatures = featureActs.gt(0).sum(-1);
  console.log(`Average L0: ${await activeFeatures.mean().item()}`);
  const reconstructed = await sae.decode(featureActs);
  const mse = await activations.sub(reconstructed).pow(2).mean().item();
  console.log(mse, (await sae.forward(activations)).shape);
  await sae.encode({ data: new Float32Array(2304), dims: [1, 2304], type: 'float32' });
  await sae.encode({ data: new Uint16Array(2304), shape: [1, 2304], dtype: 'bfloat16' });
  await sae.encode(activations, { precision: 'fast', signal: AbortSignal.timeout(1000) });
  const { output, cache } = await sae.runWithCache(activations);
  console.log(output.shape, cache.keys());
  await sae.runWithHooks(activations, {
    fwdHooks: [['hook_sae_acts_post', (acts: FeatureActs) => acts.zero(3)]],
  });
  const { candidates } = sae.stats();
  console.log(candidates, sae.to({ device: 'cpu', dtype: 'float32' }).device, sae.dtype);
  sae.foldWDecNorm();
  sae.foldActivationNormScalingFactor(2);
}

export function attributes(sae: SAE): unknown[] {
  const { cfg } = sae;
  const { metadata } = cfg;
  return [
    cfg.dSae / cfg.dIn,
    cfg.architecture.toUpperCase(),
    cfg.normalizeActivations,
    cfg.reshapeActivations === 'hook_z',
    cfg.applyBDecToInput,
    cfg.k ?? 0,
    cfg.dOut ?? 0,
    cfg.raw.d_in,
    metadata.hookName?.length,
    metadata.modelName,
    metadata.contextSize,
    metadata.hfHookName,
    metadata.hookHeadIndex ?? 0,
    metadata.prependBos,
    metadata.anythingElse,
    sae.W_enc.shape,
    sae.W_dec.shape,
    sae.b_dec.shape,
    sae.b_enc?.shape,
    sae.threshold?.shape,
    sae.W_skip?.shape,
    sae.hookName('hook_sae_error'),
    sae.useErrorTerm,
  ];
}

export async function featureActivations(x: FeatureActs): Promise<void> {
  x.zero(1).zero([1, 2]).set(3, 1.5).add([4], 2).scale(5, 0.5).keep([1, 2, 3]);
  const top = (await x.rows()).at(0, -1).topk(10);
  for (const { feature, value } of top) console.log(`Feature ${feature}: ${value.toFixed(4)}`);
  for (const row of await x.rows()) for (const hit of row) console.log(hit.feature, row.get(7));
  const { rowOffsets, indices, values } = await x.csr();
  console.log(rowOffsets.length, indices[0], values[0], await x.nnz(), x.shape, x.device);
  const perToken = await x.topk(3);
  console.log(perToken[0]?.[0]?.feature);
  console.log(await x.slice(null, [1]).l0().mean().item());
  const dense = x.dense();
  dense.slice(null, null, 1000).fill(0);
  FeatureActs.from(dense).clone().dispose();
  using again = FeatureActs.from({ data: new Float32Array(4), shape: [1, 4] });
  console.log(again.gt(0).shape);
}

export async function tensors(): Promise<void> {
  const a = Tensor.from([
    [1, 2],
    [3, 4],
  ]);
  const b = Tensor.from(new Float32Array([1, 2]), [2], { dtype: 'float16', device: 'cpu' });
  using zeros = Tensor.zeros([2, 2]);
  const kept: Tensor = scope(() =>
    a
      .add(b)
      .mul(2)
      .sub(zeros)
      .div(Tensor.ones([2, 2])),
  );
  const { values, indices } = kept.topk(1, -1);
  console.log(values.size, indices.dtype === 'int32', kept.dtype, kept.device);
  for (const t of [
    a.pow(2).sqrt().abs().neg().exp().log().relu(),
    a
      .gt(1)
      .lt(b)
      .eq({ data: new Int32Array(2), shape: [2] }),
    a.sum().mean().max().norm(),
    a.argmax(0),
    a.softmax().logSoftmax(-1),
    a.matmul(b),
    a.slice(null, [1, null]).at(0).reshape([-1]),
    a.transpose(0, 1).clone().to({ dtype: 'bfloat16' }),
    Tensor.zerosLike(a).fill(1).copyFrom(b).addInPlace(1).mulInPlace(b),
  ]) {
    const data: Float32Array | Uint16Array | Int32Array = await t.data();
    console.log(data.length, t.dataSync().length, await t.toArray());
    t.dispose();
  }
}

export async function hookedTransformer(sae: SAE): Promise<void> {
  const model = await HookedSAETransformer.fromPretrainedNoProcessing('gemma-2-2b', {
    device: 'cuda',
  });
  const tokens = model.toTokens('Hello, world!');
  await model.runWithSaes(tokens, { saes: [sae] });
  const { logits, cache } = await model.runWithCacheWithSaes(tokens, { saes: [sae] });
  const saeActs: FeatureActs = cache.get('blocks.12.hook_resid_post.hook_sae_acts_post');
  console.log(saeActs.shape, logits.shape);
  const ablateFeature = (id: number) => (acts: FeatureActs) => acts.zero(id);
  await model.runWithHooksWithSaes(tokens, {
    saes: [sae],
    fwdHooks: [['blocks.12.hook_resid_post.hook_sae_acts_post', ablateFeature(1000)]],
  });
  model.addSae(sae, { useErrorTerm: true, excludeSpecialTokens: true });
  await model.forward(tokens);
  model.resetSaes();
  model.resetSaes({ actNames: ['blocks.12.hook_resid_post'] });
  sae.useErrorTerm = true;
  model.addSae(sae);
  await model.runWithHooks(tokens, {
    fwdHooks: [
      ['blocks.12.hook_resid_post.hook_sae_error', (act: Tensor) => Tensor.zerosLike(act)],
      [
        (name) => name.endsWith('hook_z'),
        (act: Tensor | FeatureActs, hook: HookPoint) => console.log(hook.name, hook.layer, act),
      ],
      ['blocks.1.hook_resid_pre', async (act: Tensor) => void (await act.data())],
    ],
  });
  for (const [point, attached] of model.actsToSaes) console.log(point, attached.cfg.dSae);
  {
    using _ = model.saes([sae], { useErrorTerm: true });
    await model.forward('Hello, world!', { returnType: 'loss', stopAtLayer: 3, startAtLayer: 0 });
  }
  const through: Tensor = await model.withSaes(sae, (m) => m.forward('Hello, world!'));
  console.log(through.shape);
  await model.dispose();
}

export async function plainTransformer(): Promise<void> {
  await using model = await HookedTransformer.fromPretrained('gpt2-small', {
    foldLn: false,
    centerWritingWeights: true,
    centerUnembed: true,
  });
  const { nLayers, dModel, nHeads, dHead, dMlp, dVocab, nCtx, modelName } = model.cfg;
  console.log(nLayers, dModel, nHeads, dHead, dMlp, dVocab, nCtx, modelName, model.hookNames);
  const { ids, shape, mask } = model.toTokens(['one', 'two texts'], { prependBos: false });
  console.log(model.toText(ids), shape[1], mask?.[0], model.toStrTokens('a b'));
  console.log(model.toSingleToken(' the'), model.tokenizer.decode(model.tokenizer.encode('x')));
  using handle = model.addHook('blocks.0.hook_resid_post', (act) => act.mul(2));
  handle.remove();
  model
    .addHook(
      (name) => name.includes('attn'),
      () => undefined,
    )
    .remove();
  model.resetHooks();
  const { cache } = await model.runWithCache([1, 2, 3], { namesFilter: ['hook_embed'] });
  console.log(cache instanceof ActivationCache, cache.has('hook_embed'), cache.size);
  console.log(cache.get('resid_post', 5).shape, cache.get('scale', 4, 'ln1').shape);
  for (const [name, act] of cache) console.log(name, act.shape);
  const { text } = await model.generate('Once', { maxNewTokens: 8, temperature: 0.7, topP: 0.9 });
  for await (const step of model.generateStream(text, { topK: 5, seed: 1, stopAtEos: true })) {
    console.log(step.token, step.text);
  }
}

export async function bridge(): Promise<void> {
  const model = await SAETransformerBridge.bootTransformers('google/gemma-3-4b-it');
  await model.forward('Hello, world!');
  await model.runWithCache(
    [
      [1, 2],
      [3, 4],
    ],
    { namesFilter: (name) => name.endsWith('hook_out') },
  );
}

export async function withoutTransformerLens(sae: SAE): Promise<void> {
  const model = await AutoModel.fromPretrained('google/gemma-2-2b');
  const activations: Record<string, Tensor> = {};
  const handle = model.registerForwardHook('layers.12', (out) => {
    activations.layer_12 = out.clone();
  });
  await model.forward(model.toTokens('Hello, world!'));
  handle.remove();
  const causal = await AutoModelForCausalLM.fromPretrained('google/gemma-2-2b');
  const { cache, tokens } = await causal.runWithCache('The capital of France is', {
    namesFilter: 'model.layers.12',
    stopAtLayer: 13,
  });
  console.log(tokens.ids, (await sae.encode(cache.get('model.layers.12'))).shape);
}

export async function tracing(sae: SAE): Promise<void> {
  const model = await LanguageModel.fromPretrained('google/gemma-2-2b', { device: 'auto' });
  const prompt = 'The Eiffel Tower is located in';
  const hidden: Tensor = await model.trace(prompt, async (t) => await t.model.layers[12].output[0]);
  console.log((await sae.encode(hidden)).shape);
  const ablateTop =
    (by: SAE, k = 10) =>
    async (h: Tensor) => {
      const acts = await by.encode(h);
      const dense = acts.dense();
      for (const [pos, hits] of (await acts.topk(k)).entries()) {
        for (const { feature } of hits) dense.at(0, pos, feature).fill(0);
      }
      return by.decode(dense);
    };
  const logits: Tensor = await model.trace(prompt, async (t) => {
    const layer = t.model.layers[12];
    layer.output = await ablateTop(sae)(await layer.output);
    return await t.lm_head.output;
  });
  console.log(logits.shape);
}

export function published(): number {
  const found = registry.find(release, saeId);
  const all = registry.search({
    model: 'google/gemma-2-2b',
    hookName: 'hook_resid_post',
    text: '16k',
  });
  const [first] = registry.releases();
  return (found?.l0 ?? 0) + all.length + registry.saes(release).length + (first?.saes ?? 0);
}

export function failures(error: unknown): ErrorCode | undefined {
  return error instanceof MonosemError ? error.code : undefined;
}
