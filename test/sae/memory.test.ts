import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { SAE } from '../../lib/sae/sae.js';
import { Tensor } from '../../lib/tensor.js';

const folder = mkdtempSync(join(tmpdir(), 'monosem-memory-'));
afterAll(() => rmSync(folder, { recursive: true }));

const [D_IN, D_SAE] = [768, 32768];

/** Loads, encodes and decodes in a process of its own; prints how much its peak memory grew, over the size of what it prepared. */
const CHILD = `
import { readFileSync } from 'node:fs';
import { SAE, Tensor } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)};
const peak = () => Number(/VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
const x = Tensor.randn([64, ${D_IN}], { seed: 3 });
await x.data();
const before = peak();
const sae = await SAE.loadFromDisk(${JSON.stringify(folder)});
const acts = await sae.encode(x);
await (await sae.decode(acts)).data();
const prepared = Math.max(sae.stats().planBytes, sae.W_enc.size * 4) + sae.W_dec.size * 4;
console.log((peak() - before) / prepared);
`;

it.skipIf(process.platform !== 'linux')(
  'a loaded SAE never takes more than 1.2x its prepared size',
  async () => {
    const saved = new SAE({
      cfgDict: { architecture: 'standard', d_in: D_IN, d_sae: D_SAE, metadata: {} },
      weights: {
        W_enc: Tensor.randn([D_IN, D_SAE], { seed: 1 }),
        W_dec: Tensor.randn([D_SAE, D_IN], { seed: 2 }),
        b_enc: Tensor.zeros([D_SAE]),
        b_dec: Tensor.zeros([D_IN]),
      },
    });
    await saved.saveModel(folder);
    saved.dispose();
    const child = spawnSync(process.execPath, ['--input-type=module', '--eval', CHILD], {
      encoding: 'utf8',
    });
    expect(child.stderr).toBe('');
    expect(Number(child.stdout)).toBeLessThan(1.2);
  },
);
