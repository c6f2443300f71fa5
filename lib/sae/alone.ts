import { HookRegistry, type RunOptions } from '../hooks/hook_registry.js';
import { HookRun } from '../hooks/hook_run.js';
import type { Tensor } from '../tensor.js';
import type { SAEConfig } from './config.js';
import type { SaeEngine } from './engine.js';
import { firing, SAE_HOOKS, type SaeHook, whyNot } from './sae_hooks.js';
import { type Precision, runSae } from './splice.js';

export interface AloneOptions extends RunOptions {
  readonly useErrorTerm: boolean;
  readonly precision: Precision;
}

/** An SAE's forward by itself, with the hooks of this run. As in SAELens, transcoders and temporal SAEs have no error term there. */
export async function runAlone(
  engine: SaeEngine,
  x: Tensor,
  { useErrorTerm, precision, ...hooks }: AloneOptions,
): Promise<Tensor> {
  const { cfg, architecture } = engine;
  const running = { attached: false, useErrorTerm };
  const registry = () =>
    new HookRegistry({
      names: firing(cfg, architecture, running),
      resolve: (name) => resolveHook(cfg, name),
      cannotFire: (name) => whyNot(name as SaeHook, cfg, architecture, running),
    });
  using run = hooks.cache || hooks.fwdHooks ? registry().begin(hooks) : new HookRun();
  const hasError = !architecture.isTranscoder && cfg.architecture !== 'temporal';
  const options = { prefix: '', useErrorTerm: useErrorTerm && hasError, precision };
  return await runSae(engine, x, x, run, options);
}

/** hook_sae_… from its short name, or from the full one it has when attached. */
export function resolveHook({ metadata }: SAEConfig, name: string): SaeHook | undefined {
  const prefix = `${metadata.hookNameOut ?? metadata.hookName}.`;
  const short = name.startsWith(prefix) ? name.slice(prefix.length) : name;
  return SAE_HOOKS.find((hook) => hook === short);
}
