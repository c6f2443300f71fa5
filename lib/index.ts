export { AutoModel, AutoModelForCausalLM, LanguageModel } from './auto_model.js';
export { type Device, type DeviceInfo, devices } from './device.js';
export { type ErrorCode, MonosemError } from './error.js';
export { HookedSAETransformer } from './hooked_sae_transformer.js';
export { ActivationCache } from './hooks/activation_cache.js';
export type { FwdHook, Hook, HookPoint, SaeActsHook } from './hooks/types.js';
export type { LoadOptions, Progress } from './hub/options.js';
export type { ChatMessage, ChatOptions } from './model/chat_template.js';
export { HookedTransformer } from './model/hooked_transformer.js';
export type { Input } from './model/input.js';
export type { ModelCache, ResidualStack, StackOptions, TokenChoice } from './model/model_cache.js';
export type {
  AttachOptions,
  CacheOptions,
  ForwardOptions,
  GenerateOptions,
  SaesOptions,
} from './model/options.js';
export type { Tokens } from './model/tokens.js';
export type { Trace, TraceModule } from './model/trace_tree.js';
export type { LoaderName, RegistryEntry } from './registry/data.js';
export { registry } from './registry/registry.js';
export type { Release } from './registry/releases.js';
export type { SAEConfig, SAEMetadata } from './sae/config.js';
export { FeatureActs } from './sae/feature_acts.js';
export type { FeatureHit, FeatureRow, FeatureRows } from './sae/feature_rows.js';
export { SAE, type SaeLoadOptions } from './sae/sae.js';
export type { SaeHook } from './sae/sae_hooks.js';
export type { Precision } from './sae/splice.js';
export { SAETransformerBridge } from './sae_transformer_bridge.js';
export { scope } from './scope.js';
export {
  type DType,
  type Index,
  type NestedArray,
  Tensor,
  type TensorLike,
  type TypedArray,
} from './tensor.js';
