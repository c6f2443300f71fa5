/** The cases of test/fixtures/loaders: what SAELens 6.44.3 made of one SAE of each published form. */
import { existsSync, readdirSync } from 'node:fs';
import { FolderFiles } from '../../lib/loaders/files.js';
import type { SaeLocation } from '../../lib/loaders/load.js';
import type { LoaderName } from '../../lib/registry/data.js';
import { fixture, readJson } from '../support/golden.js';

type Dict = Record<string, unknown>;

/** See test/fixtures/loaders/README.md. */
export interface Case {
  readonly name: string;
  readonly about: string;
  readonly port: 'match' | 'may_refuse' | 'may_load' | 'use_correct';
  readonly loader: LoaderName;
  readonly via: 'hub' | 'disk';
  readonly release?: string;
  readonly sae_id?: string;
  readonly repo_id: string;
  readonly folder: string | number;
  readonly overrides: Dict | null;
  readonly overrides_from_registry: Dict | null;
  readonly warnings?: string[];
  readonly cfg?: Dict;
  readonly config_only?: Dict | string;
  readonly config_without_overrides?: Dict;
  readonly final_cfg?: Dict;
  readonly error?: { stage: string; type: string; message: string };
  readonly from_pretrained?: {
    dtype?: string;
    cfg?: Dict;
    final_cfg?: Dict;
    warnings?: string[];
    error?: { stage: string; type: string };
    norm_scaling_factor?: number | null;
    same_weights?: boolean;
    io_dtype?: string;
    support_stable?: boolean;
  };
  readonly ignore?: string[];
  readonly state?: Readonly<Record<string, { dtype: string; shape: number[] }>>;
  readonly io_dtype?: string;
  readonly support_stable?: boolean;
}

const root = fixture('loaders');

export const cases: readonly Case[] = readdirSync(root)
  .filter((name) => existsSync(`${root}/${name}/expected.json`))
  .map((name) => ({ name, ...readJson<Omit<Case, 'name'>>(`${root}/${name}/expected.json`) }));

export const expectedTensors = ({ name }: Case): string => `${root}/${name}/expected.safetensors`;

/** The root of a case's repositories, each at owner/name below it. */
export const repositories = ({ name }: Case): string => `${root}/${name}/repo`;

export function location(testCase: Case, overrides = testCase.overrides): SaeLocation {
  const { repo_id: repoId, folder } = testCase;
  return {
    repoId,
    folder: String(folder),
    files: new FolderFiles(`${repositories(testCase)}/${repoId}`),
    overrides: overrides ?? {},
  };
}
