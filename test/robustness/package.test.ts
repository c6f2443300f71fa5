import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { node, root } from '../support/run.js';

describe('the package', () => {
  it('can be required from CommonJS', async () => {
    const { stdout, stderr } = await node([
      '-e',
      "const { Tensor } = require('monosem'); Tensor.ones([3]).sum().item().then(console.log)",
    ]);
    expect(stderr).toBe('');
    expect(stdout).toBe('3\n');
  });

  it("keeps what a native build without Node's headers stands on", () => {
    const { binary, gypfile, scripts } = JSON.parse(
      readFileSync(join(root, 'package.json'), 'utf8'),
    );
    expect(binary).toEqual({ napi_versions: [9] }); // else cmake-js downloads Node's headers
    expect(gypfile).toBe(false); // else npm runs node-gyp, which wants Python
    expect(scripts).not.toHaveProperty('prebuild'); // npm would run it before every build
  });

  it('holds one .node where node-gyp-build takes the first', () => {
    const built = readdirSync(join(root, 'build', 'Release'));
    expect(built.filter((name) => name.endsWith('.node'))).toEqual(['monosem.node']);
  });

  it('ships a demo of less than 12 MB', () => {
    const demo = join(root, 'assets', 'demo');
    const bytes = readdirSync(demo, { recursive: true, encoding: 'utf8' })
      .map((name) => statSync(join(demo, name)))
      .reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0);
    expect(bytes).toBeLessThan(12e6);
  });
});
