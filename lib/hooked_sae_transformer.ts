import { MonosemError } from './error.js';
import type { FwdHook } from './hooks/types.js';
import { unknownHook } from './hooks/unknown.js';
import type { LoadOptions } from './hub/options.js';
import type { RunRequest } from './model/engine.js';
import { HookedTransformer } from './model/hooked_transformer.js';
import type { Input } from './model/input.js';
import { loadModel } from './model/load.js';
import type { ModelCache } from './model/model_cache.js';
import type { AttachOptions, CacheOptions, ForwardOptions, SaesOptions } from './model/options.js';
import { PROCESSED } from './model/processing.js';
import type { Tokens } from './model/tokens.js';
import { Attachment } from './sae/attachment.js';
import { checkFit } from './sae/fit.js';
import { SAE } from './sae/sae.js';
import type { Tensor } from './tensor.js';

/**
 * A HookedTransformer with SAEs in its forward: an SAE replaces the activation at its hook point by its
 * reconstruction (plus, with the error term, what that misses), a transcoder the one at its output.
 *
 * At a point H with an SAE the points `H.hook_sae_input`, `…acts_pre`, `…acts_post`, `…recons`,
 * `…error` (with the error term) and `…output` appear; H itself stays and carries the SAE's output.
 * Attached, a skip transcoder applies its skip connection and a temporal SAE its prediction.
 *
 * Attaching throws ERR_HOOK for a point the model lacks or that cannot fire, ERR_SHAPE for an SAE of
 * another width, ERR_DEVICE, and ERR_INVALID_ARGUMENT for a model processed otherwise than the SAE asks.
 */
export class HookedSAETransformer extends HookedTransformer {
  static override async fromPretrainedNoProcessing(
    name: string,
    options: LoadOptions & Record<string, unknown> = {},
  ): Promise<HookedSAETransformer> {
    return new this(await loadModel(name, options));
  }

  static override async fromPretrained(
    name: string,
    options: LoadOptions & Record<string, unknown> = {},
  ): Promise<HookedSAETransformer> {
    return new this(await loadModel(name, { ...PROCESSED, ...options }));
  }

  /** The attached SAEs by the hook names their metadata gives for their input. */
  get actsToSaes(): ReadonlyMap<string, SAE> {
    return new Map(this.#attachments().map(({ sae, hookName }) => [hookName, sae]));
  }

  /** Attaches until the result is disposed, or `resetSaes`. What sat at the point before is replaced. */
  addSae(sae: SAE, options: AttachOptions = {}): Disposable {
    const attachment = this.#attachment(sae, options);
    this.engine.hooks.attach(attachment);
    return {
      [Symbol.dispose]: () => {
        if (this.engine.hooks.splice(attachment.point) === attachment) {
          this.engine.hooks.detach(attachment.point);
        }
      },
    };
  }

  /** Detaches the SAEs that read these points, or all. ERR_HOOK for a name that is no point. */
  resetSaes(options: { actNames?: string | readonly string[] } = {}): void {
    const names = options.actNames === undefined ? undefined : [options.actNames].flat();
    const inputs = names?.map((name) => this.#inputPoint(name));
    for (const { inputPoint, point } of this.#attachments()) {
      if (inputs === undefined || inputs.includes(inputPoint)) this.engine.hooks.detach(point);
    }
  }

  /** `using _ = model.saes([sae])`: attached until the block ends, what was attached before comes back. */
  saes(saes: SAE | readonly SAE[], options: AttachOptions = {}): Disposable {
    const { hooks } = this.engine;
    const attached = listOf(saes).map((sae) => this.#attachment(sae, options));
    const before = attached.map((one) => [one.point, hooks.attach(one)] as const);
    return {
      [Symbol.dispose]: () => {
        for (const [point, previous] of before.splice(0).reverse()) {
          if (previous === undefined) hooks.detach(point);
          else hooks.attach(previous);
        }
      },
    };
  }

  /** `saes` for the time of an async body. */
  async withSaes<R>(
    saes: SAE | readonly SAE[],
    body: (model: this) => Promise<R>,
    options: AttachOptions = {},
  ): Promise<R> {
    using _ = this.saes(saes, options);
    return await body(this);
  }

  /** `forward` with SAEs attached for this run only. */
  async runWithSaes(input: Input | Tensor, options: ForwardOptions & SaesOptions): Promise<Tensor> {
    return (await this.run(input, options)).result;
  }

  /** `runWithCache` with SAEs attached for this run only. */
  runWithCacheWithSaes(
    input: Input | Tensor,
    options: CacheOptions & SaesOptions,
  ): Promise<{ logits: Tensor; cache: ModelCache; tokens: Tokens }> {
    return this.runCached(input, options);
  }

  /** `runWithHooks` with SAEs attached for this run only. */
  async runWithHooksWithSaes(
    input: Input | Tensor,
    options: ForwardOptions & SaesOptions & { fwdHooks: readonly FwdHook[] },
  ): Promise<Tensor> {
    return (await this.run(input, options)).result;
  }

  /** @internal */
  protected override async run(
    input: Input | Tensor,
    options: ForwardOptions & RunRequest & Partial<SaesOptions>,
  ): Promise<{ result: Tensor; tokens: Tokens | undefined }> {
    const { saes: _, ...rest } = options;
    return super.run(input, { ...rest, ...this.prepareSaes(options) });
  }

  /** @internal */
  protected override prepareSaes(
    options: Partial<SaesOptions> & { prependBos?: boolean },
  ): Pick<RunRequest, 'splices'> & { prependBos?: boolean } {
    this.engine.alive();
    const { saes = [], useErrorTerm, excludeSpecialTokens, resetSaesEnd = true } = options;
    const attach = {
      ...(useErrorTerm !== undefined && { useErrorTerm }),
      ...(excludeSpecialTokens !== undefined && { excludeSpecialTokens }),
    };
    const own = listOf(saes).map((sae) => this.#attachment(sae, attach));
    if (!resetSaesEnd) for (const one of own) this.engine.hooks.attach(one);
    const prependBos = options.prependBos ?? this.#prependBos(own);
    return {
      ...(prependBos !== undefined && { prependBos }),
      splices: resetSaesEnd ? own : [],
    };
  }

  #attachments(): Attachment[] {
    return this.engine.hooks.splices().filter((splice) => splice instanceof Attachment);
  }

  #attachment(sae: SAE, options: AttachOptions): Attachment {
    this.engine.alive();
    if (!(sae instanceof SAE)) {
      throw new MonosemError(
        'ERR_INVALID_ARGUMENT',
        `expected an SAE to attach, got ${typeof sae}`,
      );
    }
    const { hookName, hookNameOut, hfHookName, hfHookNameOut } = sae.cfg.metadata;
    const name = hookName ?? hfHookName;
    if (name === undefined) {
      throw new MonosemError(
        'ERR_HOOK',
        "this SAE's metadata names no hook point (metadata.hook_name in its cfg.json), so there is no place to attach it",
      );
    }
    const inputPoint = this.#point(hookName, hfHookName);
    const hasOutput = hookNameOut !== undefined || hfHookNameOut !== undefined;
    const point = hasOutput ? this.#point(hookNameOut, hfHookNameOut) : inputPoint;
    checkFit(sae, this, { inputPoint, point });
    return new Attachment(sae, {
      hookName: name,
      inputPoint,
      point,
      useErrorTerm: options.useErrorTerm ?? sae.useErrorTerm,
      excluded: this.#excluded(options.excludeSpecialTokens ?? false),
    });
  }

  /**
   * The point an SAE means. Its Hugging Face name decides where it has one: Gemma Scope 2's transcoders
   * say hook_mlp_in and mean the MLP's input after the norm (spec of TransformerBridge 3.0).
   */
  #point(name: string | undefined, huggingFace: string | undefined): string {
    const { points } = this.engine;
    const found =
      (huggingFace === undefined ? undefined : points.resolve(huggingFace)) ??
      (name === undefined ? undefined : points.resolve(name));
    if (found === undefined) throw unknownHook(name ?? (huggingFace as string), points.names);
    const reason = points.cannotFire(found);
    if (reason === undefined) return found;
    throw new MonosemError('ERR_HOOK', `an SAE cannot sit at '${found}': ${reason}`);
  }

  /** The canonical input point a name stands for: a point, or what an attached SAE calls it. */
  #inputPoint(name: string): string {
    const attached = this.#attachments().find(({ hookName }) => hookName === name);
    return attached?.inputPoint ?? this.#point(name, undefined);
  }

  #excluded(exclude: boolean | readonly number[]): ReadonlySet<number> {
    if (exclude === false) return new Set();
    if (exclude !== true) return new Set(exclude);
    const { bosTokenId, eosTokenId, padTokenId } = this.tokenizer;
    return new Set([bosTokenId, eosTokenId, padTokenId].filter((id) => id !== undefined));
  }

  /** Whether text gets a BOS token as the SAEs of a run were trained; undefined when they do not say. */
  #prependBos(own: readonly Attachment[]): boolean | undefined {
    const wishes = new Set(
      [...this.#attachments(), ...own]
        .map(({ sae }) => sae.cfg.metadata.prependBos)
        .filter((wish) => wish !== undefined),
    );
    if (wishes.size < 2) return [...wishes][0];
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      'some of the attached SAEs were trained with a BOS token and some without; pass prependBos',
    );
  }
}

function listOf(saes: SAE | readonly SAE[]): readonly SAE[] {
  return Array.isArray(saes) ? saes : [saes as SAE];
}
