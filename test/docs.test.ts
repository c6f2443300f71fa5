import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDocsHub } from './docs/hub.js';
import { collect, root, work, write } from './docs/programs.js';
import type { TestHub } from './support/test_hub.js';

const programs = collect();
let compilerSays = '';
let folder: string;
let hub: TestHub;

beforeAll(async () => {
  write(programs);
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const args = [tsc, '-p', work, '--pretty', 'false'];
  compilerSays = spawnSync(process.execPath, args, { cwd: work, encoding: 'utf8' }).stdout;
  folder = mkdtempSync(join(tmpdir(), 'monosem-docs-'));
  symlinkSync(join(root, 'assets'), join(folder, 'assets'));
  symlinkSync('assets/demo/saes/blocks.2.hook_resid_post', join(folder, 'my-sae'));
  hub = await startDocsHub();
});
afterAll(async () => {
  await hub.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('the programs in README.md and docs/', () => {
  it('exist', () => {
    expect(programs.map(({ file }) => file)).toContain('README.md');
  });

  for (const { name, file, line, run } of programs) {
    it(`type-check: ${file}:${line}`, () => {
      const complaints = compilerSays
        .split('\n')
        .filter((text) => text.startsWith(`checked/${name}.ts`));
      expect(complaints).toEqual([]);
    });
    it.runIf(run)(`run: ${file}:${line}`, async () => {
      const program = join(work, 'out', 'run', `${name}.js`);
      const sizes = join(root, 'test', 'docs', 'sizes.mjs');
      const env = { ...process.env, HF_ENDPOINT: hub.url, HF_HOME: join(folder, 'huggingface') };
      const args = ['--import', sizes, program];
      await promisify(execFile)(process.execPath, args, { cwd: folder, env });
    });
  }
});
