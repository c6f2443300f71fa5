import type { Architecture } from './architectures/architecture.js';
import type { SAEConfig } from './config.js';

/** The points inside an SAE, in firing order. */
export type SaeHook =
  | 'hook_sae_input'
  | 'hook_sae_acts_pre'
  | 'hook_sae_acts_post'
  | 'hook_sae_recons'
  | 'hook_sae_error'
  | 'hook_sae_output';

export const SAE_HOOKS: readonly SaeHook[] = [
  'hook_sae_input',
  'hook_sae_acts_pre',
  'hook_sae_acts_post',
  'hook_sae_recons',
  'hook_sae_error',
  'hook_sae_output',
];

/** How an SAE is run: by itself or attached to a model, with its error term or without. */
export interface Running {
  readonly attached: boolean;
  readonly useErrorTerm: boolean;
}

/**
 * Why a point does not fire, undefined when it does. As in SAELens, but that hooking such a point is an
 * error here: matching pursuit has no acts_pre and acts_post; run by themselves, transcoders have
 * neither error nor output and temporal SAEs neither recons nor error.
 */
export function whyNot(
  hook: SaeHook,
  cfg: SAEConfig,
  architecture: Architecture,
  { attached, useErrorTerm }: Running,
): string | undefined {
  const name = cfg.architecture;
  if (hook === 'hook_sae_acts_pre' || hook === 'hook_sae_acts_post') {
    return architecture.hasPreActivations
      ? undefined
      : `a ${name} SAE chooses its features one at a time`;
  }
  const alone = attached ? undefined : `a ${name} SAE fires it only when attached to a model`;
  if (hook === 'hook_sae_recons') return name === 'temporal' ? alone : undefined;
  if (hook === 'hook_sae_output') return architecture.isTranscoder ? alone : undefined;
  if (hook === 'hook_sae_error') {
    if (architecture.isTranscoder || name === 'temporal') {
      if (alone !== undefined) return alone;
    }
    return useErrorTerm ? undefined : 'the error term is off; pass useErrorTerm: true';
  }
  return undefined;
}

/** The points that fire. */
export function firing(cfg: SAEConfig, architecture: Architecture, running: Running): SaeHook[] {
  return SAE_HOOKS.filter((hook) => whyNot(hook, cfg, architecture, running) === undefined);
}
