import type { LoaderName } from '../registry/data.js';
import { connorRobHookZ } from './connor_rob_hook_z.js';
import { deepseekR1 } from './deepseek_r1.js';
import { dictionaryLearning1 } from './dictionary_learning_1.js';
import { gemma2 } from './gemma_2.js';
import { gemma2Transcoder } from './gemma_2_transcoder.js';
import { gemma3 } from './gemma_3.js';
import { goodfire } from './goodfire.js';
import { llamaScope, llamaScopeR1Distill } from './llama_scope.js';
import type { Loader } from './loader.js';
import { mntssCltLayerTranscoder } from './mntss_clt_layer_transcoder.js';
import { mwhannaTranscoder } from './mwhanna_transcoder.js';
import { qwenScope } from './qwen_scope.js';
import { saeLens } from './sae_lens.js';
import { sparsify } from './sparsify.js';
import { temporal } from './temporal.js';

/** Every published format under the name of SAELens' loader for it. */
export const loaders: Readonly<Record<LoaderName, Loader>> = {
  sae_lens: saeLens,
  gemma_2: gemma2,
  gemma_3: gemma3,
  gemma_2_transcoder: gemma2Transcoder,
  llama_scope: llamaScope,
  llama_scope_r1_distill: llamaScopeR1Distill,
  dictionary_learning_1: dictionaryLearning1,
  connor_rob_hook_z: connorRobHookZ,
  deepseek_r1: deepseekR1,
  goodfire,
  sparsify,
  mwhanna_transcoder: mwhannaTranscoder,
  mntss_clt_layer_transcoder: mntssCltLayerTranscoder,
  temporal,
  qwen_scope: qwenScope,
};
