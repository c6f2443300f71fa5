import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { program } from '../support/run.js';
import { writeSyntheticSae } from '../support/synthetic_sae.js';

const folder = mkdtempSync(join(tmpdir(), 'monosem-loop-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

// Other test files share the processors: what they take in one attempt they leave in another.
it('leaves the event loop free while an encode of two seconds runs', { retry: 3 }, async () => {
  const sae = writeSyntheticSae(folder, 512, 4096);
  const { stdout, stderr } = await program(`
    import { SAE, Tensor } from 'monosem';
    const sae = await SAE.loadFromDisk(${JSON.stringify(sae)});
    const encode = async (tokens) => {
      const x = Tensor.randn([tokens, 512], { seed: 1 });
      await x.slice([0, 1]).data(); // x is there before the clock starts
      const start = performance.now();
      (await sae.encode(x)).dispose();
      x.dispose();
      return performance.now() - start;
    };
    await encode(1024);
    const tokens = Math.min(200_000, Math.ceil(2000 / ((await encode(1024)) / 1024)));
    let last = performance.now();
    let lag = 0;
    let ticks = 0;
    const timer = setInterval(() => {
      const now = performance.now();
      lag = Math.max(lag, now - last - 1);
      last = now;
      ticks++;
    }, 1);
    const took = await encode(tokens);
    clearInterval(timer);
    console.log(JSON.stringify({ took, lag, ticks }));
  `);
  expect(stderr).toBe('');
  const { took, lag, ticks } = JSON.parse(stdout);
  expect(took).toBeGreaterThan(500);
  expect(ticks).toBeGreaterThan(took / 10);
  expect(lag).toBeLessThan(50);
});
