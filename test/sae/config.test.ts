import { describe, expect, it } from 'vitest';
import { MonosemError } from '../../lib/error.js';
import { type Json, parseConfig, parseJsonObject, writeConfig } from '../../lib/sae/config.js';
import { migrateConfig, versionedMetadata } from '../../lib/sae/migrate.js';
import { fixture, readJson } from '../support/golden.js';

interface Row {
  about: string;
  given: Json;
  cfg?: Json;
  error?: { type: string };
}

const v6 = {
  architecture: 'standard',
  d_in: 16,
  d_sae: 32,
  dtype: 'float32',
  device: 'cpu',
  apply_b_dec_to_input: true,
  normalize_activations: 'none',
  reshape_activations: 'none',
  metadata: { sae_lens_version: '6.18.0', hook_name: 'blocks.0.hook_resid_post' },
};

function errorOf(body: () => unknown): MonosemError {
  try {
    body();
  } catch (error) {
    expect(error).toBeInstanceOf(MonosemError);
    return error as MonosemError;
  }
  throw new Error('expected an error');
}

describe('migrateConfig', () => {
  // computed by SAELens 6.44.3's handle_config_defaulting
  for (const row of readJson<{ defaulting: Row[] }>(fixture('loaders/tables.json')).defaulting) {
    it(`${row.error ? 'refuses' : 'matches SAELens for'} ${row.about}`, () => {
      if (row.error) {
        expect(errorOf(() => migrateConfig(row.given)).code).toMatch(/ERR_FORMAT|ERR_UNSUPPORTED/);
      } else {
        expect(migrateConfig(row.given)).toEqual(row.cfg);
      }
    });
  }
});

describe('parseConfig', () => {
  it('reads a v6 configuration', () => {
    const cfg = parseConfig({ ...v6, architecture: 'topk', k: 5, unknown: 1 });
    expect(cfg).toMatchObject({ architecture: 'topk', dIn: 16, dSae: 32, k: 5 });
    expect(cfg.rescaleActsByDecoderNorm).toBe(false);
    expect(cfg.metadata.hookName).toBe('blocks.0.hook_resid_post');
    expect(cfg.metadata.modelName).toBeUndefined();
    expect(cfg.raw.unknown).toBe(1);
  });

  it('gives metadata camelCase names and drops nulls where there is nothing to say', () => {
    const metadata = { sae_lens_version: '6.1.0', context_size: null, hook_head_index: null };
    const cfg = parseConfig({ ...v6, metadata });
    expect(cfg.metadata).toEqual({ saeLensVersion: '6.1.0', hookHeadIndex: null });
  });

  it('fills the defaults of each architecture', () => {
    const transcoder = { ...v6, architecture: 'transcoder', apply_b_dec_to_input: false };
    expect(parseConfig(transcoder).dOut).toBe(768);
    expect(parseConfig({ ...v6, architecture: 'matching_pursuit' })).toMatchObject({
      residualThreshold: 1e-2,
      maxIterations: null,
      stopOnDuplicateSupport: true,
    });
  });

  const bad: [string, Json, string, RegExp][] = [
    ['no d_in', { ...v6, d_in: undefined }, 'ERR_FORMAT', /d_in/],
    ['d_in as a string', { ...v6, d_in: '16' }, 'ERR_FORMAT', /d_in must be an integer.*"16"/],
    ['a negative d_sae', { ...v6, d_sae: -32 }, 'ERR_FORMAT', /d_sae must be an integer/],
    ['a huge d_sae', { ...v6, d_sae: 1e15 }, 'ERR_FORMAT', /d_sae must be an integer/],
    ['a fractional d_sae', { ...v6, d_sae: 1.5 }, 'ERR_FORMAT', /d_sae must be an integer/],
    ['an unknown architecture', { ...v6, architecture: 'jumprlu' }, 'ERR_UNSUPPORTED', /jumprelu/],
    ['no architecture', { ...v6, architecture: undefined }, 'ERR_FORMAT', /architecture/],
    [
      'an inherited architecture',
      { ...v6, architecture: 'toString' },
      'ERR_UNSUPPORTED',
      /unknown/,
    ],
    ['an unknown dtype', { ...v6, dtype: 'float8' }, 'ERR_FORMAT', /float32.*float8/],
    ['float64', { ...v6, dtype: 'torch.float64' }, 'ERR_UNSUPPORTED', /dtype: "float32"/],
    [
      'a normalisation of another architecture',
      { ...v6, normalize_activations: 'constant_scalar_rescale' },
      'ERR_FORMAT',
      /normalize_activations must be one of none/,
    ],
    [
      'a transcoder with b_dec at its input',
      { ...v6, architecture: 'transcoder' },
      'ERR_FORMAT',
      /apply_b_dec_to_input must be false/,
    ],
    [
      'hook_z reshaping at a point that is no attention output',
      { ...v6, reshape_activations: 'hook_z' },
      'ERR_FORMAT',
      /end in _z/,
    ],
    ['k above d_sae', { ...v6, architecture: 'topk', k: 33 }, 'ERR_FORMAT', /k is 33/],
    ['metadata as an array', { ...v6, metadata: [] }, 'ERR_FORMAT', /metadata/],
    ['a hook name as a number', { ...v6, metadata: { hook_name: 3 } }, 'ERR_FORMAT', /hookName/],
  ];
  for (const [what, given, code, message] of bad) {
    it(`refuses ${what}`, () => {
      const clean = Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined));
      const error = errorOf(() => parseConfig(clean));
      expect(error.code).toBe(code);
      expect(error.message).toMatch(message);
    });
  }

  it('takes keys special in JavaScript as plain names', () => {
    const text = JSON.stringify(v6).replace('{', '{"__proto__": {"polluted": true}, ');
    const cfg = parseConfig(migrateConfig(parseJsonObject(text, 'cfg.json')));
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect(cfg.dIn).toBe(16);
  });

  it('refuses text that is no JSON object', () => {
    for (const text of ['{"d_in": 16,', '[1, 2]', 'null', '{"d_in": NaN}']) {
      expect(errorOf(() => parseJsonObject(text, 'cfg.json')).code).toBe('ERR_FORMAT');
    }
  });
});

describe('writeConfig', () => {
  it('writes what it read', () => {
    const topk = { ...v6, architecture: 'topk', k: 5, rescale_acts_by_decoder_norm: true };
    expect(writeConfig(parseConfig(topk), topk.metadata)).toEqual(topk);
  });

  it('gives migrated metadata a version, so that it is not migrated again', () => {
    const migrated = migrateConfig({ d_in: 4, d_sae: 8, hook_point: 'blocks.0.hook_resid_pre' });
    const written = writeConfig(
      parseConfig(migrated),
      versionedMetadata(migrated.metadata as Json),
    );
    expect(migrateConfig(written)).toEqual(written);
    expect(parseConfig(written).metadata.hookName).toBe('blocks.0.hook_resid_pre');
  });
});
