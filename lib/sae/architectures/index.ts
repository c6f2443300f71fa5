import type { Architecture } from './architecture.js';
import { gated } from './gated.js';
import { jumprelu } from './jumprelu.js';
import { matchingPursuit } from './matching_pursuit.js';
import { standard } from './standard.js';
import { temporal } from './temporal.js';
import { topk } from './topk.js';
import { skipTranscoder, transcoder } from './transcoder.js';

/** Every architecture by the name cfg.json gives it. */
export const architectures: ReadonlyMap<string, Architecture> = new Map([
  ['standard', standard],
  ['gated', gated],
  ['jumprelu', jumprelu],
  ['topk', topk],
  ['transcoder', transcoder(standard)],
  ['jumprelu_transcoder', transcoder(jumprelu)],
  ['skip_transcoder', skipTranscoder(standard)],
  ['jumprelu_skip_transcoder', skipTranscoder(jumprelu)],
  ['temporal', temporal],
  ['matching_pursuit', matchingPursuit],
]);
