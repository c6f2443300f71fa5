import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { node } from './support/run.js';

let path: string;
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'monosem-path-'));
});
afterEach(() => rmSync(path, { recursive: true, force: true }));

function program(name: string, prints: string): void {
  writeFileSync(join(path, name), `#!/bin/sh\necho '${prints}'\n`, { mode: 0o755 });
}

describe('a build on a machine that lacks its tools', () => {
  it('names all that is missing and the command that installs it', async () => {
    const { code, stderr } = await node(['scripts/build.mjs'], { PATH: path, CXX: '' });
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^monosem: building monosem needs CMake, a C\+\+20 compiler, make or ninja, which this machine lacks\. Run: .* cmake .*make\n$/,
    );
  });

  it('asks only for what is missing', async () => {
    symlinkSync('/bin/sh', join(path, 'sh'));
    program('cmake', 'cmake version 3.30.1');
    program('ninja', '1.11.1');
    const { stderr } = await node(['scripts/build.mjs'], { PATH: path, CXX: '' });
    expect(stderr).toMatch(/needs a C\+\+20 compiler, which/);
    expect(stderr).not.toMatch(/CMake|ninja/);
  });

  it('refuses a CMake that is too old, naming both versions', async () => {
    program('cmake', 'cmake version 3.18.4');
    const { code, stderr } = await node(['scripts/build.mjs'], { PATH: path, CXX: '' });
    expect(code).toBe(1);
    expect(stderr).toMatch(/needs CMake 3\.24 or newer, but this is "cmake version 3\.18\.4"/);
  });

  it('says so from the install script too, in the end', async () => {
    const env = { PATH: path, CXX: '', npm_config_build_from_source: 'true' };
    const { code, stderr } = await node(['scripts/install.mjs'], env);
    expect(code).toBe(1);
    expect(stderr).toMatch(/no prebuilt binary for .*, building from source with CMake/);
    expect(stderr).toMatch(/Run: .* cmake/);
    expect(stderr).toMatch(/MONOSEM_CUDA=OFF leaves it out/);
  });
});
