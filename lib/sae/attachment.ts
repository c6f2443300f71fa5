import { MonosemError } from '../error.js';
import type { Splice } from '../hooks/hook_registry.js';
import type { HookRun } from '../hooks/hook_run.js';
import type { Tensor } from '../tensor.js';
import type { SAE } from './sae.js';
import { firing, SAE_HOOKS, type SaeHook, whyNot } from './sae_hooks.js';
import { placesOf, runSae } from './splice.js';

export interface AttachmentOptions {
  readonly hookName: string;
  /** Where its input is taken, and where its result goes: canonical names of the model's points. */
  readonly inputPoint: string;
  readonly point: string;
  readonly useErrorTerm: boolean;
  /** Tokens of these ids keep their activations. */
  readonly excluded: ReadonlySet<number>;
}

/**
 * One SAE at one place of a model. What it does there belongs to the attachment: the SAE itself is not
 * changed, and may be attached elsewhere with other options at the same time.
 */
export class Attachment implements Splice {
  readonly sae: SAE;
  /** What the SAE's metadata calls its input. */
  readonly hookName: string;
  readonly point: string;
  readonly inputPoint: string;
  readonly useErrorTerm: boolean;
  readonly names: readonly string[];
  readonly #excluded: ReadonlySet<number>;

  constructor(sae: SAE, options: AttachmentOptions) {
    this.sae = sae;
    this.hookName = options.hookName;
    this.point = options.point;
    this.inputPoint = options.inputPoint;
    this.useErrorTerm = options.useErrorTerm;
    this.#excluded = options.excluded;
    this.names = firing(sae.cfg, sae.engine.architecture, this.#running).map(
      (hook) => `${this.point}.${hook}`,
    );
  }

  get #running() {
    return { attached: true, useErrorTerm: this.useErrorTerm };
  }

  cannotFire(name: string): string | undefined {
    const hook = name.slice(this.point.length + 1) as SaeHook;
    if (!SAE_HOOKS.includes(hook)) return undefined;
    return whyNot(hook, this.sae.cfg, this.sae.engine.architecture, this.#running);
  }

  async apply(value: Tensor, run: HookRun): Promise<Tensor> {
    const input = this.inputPoint === this.point ? value : run.captured(this);
    if (input === undefined) {
      throw new MonosemError(
        'ERR_HOOK',
        `the transcoder at '${this.point}' reads '${this.inputPoint}', which did not fire in this run; ` +
          'start at an earlier layer',
      );
    }
    const options = {
      prefix: `${this.point}.`,
      useErrorTerm: this.useErrorTerm,
      precision: this.sae.precision,
      excluded: placesOf(this.#excluded, run),
    };
    const { engine } = this.sae;
    using _ = engine.hold();
    const flat = flattenedHeads(input, engine.cfg);
    if (flat === undefined) return runSae(engine, input, value, run, options);
    using x = flat;
    using out = await runSae(engine, x, value === input ? x : value, run, options);
    return out.reshape(value.shape);
  }
}

/**
 * Attention SAEs that expect the flattened input of the output projection (Gemma Scope 2) sit at a point
 * that models here keep by head: [..., n_heads, d_head] as [..., d_in]. undefined for all others.
 */
function flattenedHeads(x: Tensor, { dIn, reshapeActivations }: SAE['cfg']): Tensor | undefined {
  const [heads, last] = x.shape.slice(-2);
  if (reshapeActivations === 'hook_z' || heads === undefined || last === undefined)
    return undefined;
  return last !== dIn && heads * last === dIn
    ? x.reshape([...x.shape.slice(0, -2), dIn])
    : undefined;
}
