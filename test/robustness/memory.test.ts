import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { program } from '../support/run.js';
import { writeSyntheticSae } from '../support/synthetic_sae.js';

const folder = mkdtempSync(join(tmpdir(), 'monosem-memory-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it.runIf(process.platform === 'linux')(
  'peaks at 1.2 times the weights while loading and using an SAE of 200 MB',
  async () => {
    const sae = writeSyntheticSae(folder, 1024, 25_600);
    const bytes = statSync(join(sae, 'sae_weights.safetensors')).size;
    const { stdout, stderr } = await program(`
      import { readFileSync } from 'node:fs';
      import { SAE, Tensor } from 'monosem';
      const peak = () => 1024 * Number(/VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
      const before = peak();
      const sae = await SAE.loadFromDisk(${JSON.stringify(sae)});
      const loaded = peak();
      const x = Tensor.randn([8, 1024], { seed: 1 });
      const acts = await sae.encode(x);
      const recons = await sae.decode(acts);
      await recons.data();
      console.log(JSON.stringify({ loading: loaded - before, using: peak() - before }));
    `);
    expect(stderr).toBe('');
    const { loading, using } = JSON.parse(stdout);
    expect(loading).toBeLessThan(1.2 * bytes);
    expect(using).toBeGreaterThan(0.5 * bytes); // or nothing was measured
    expect(using).toBeLessThan(1.2 * bytes);
  },
);
