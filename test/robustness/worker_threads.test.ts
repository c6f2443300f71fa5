import { expect, it } from 'vitest';
import { program } from '../support/run.js';

/** What each thread does until it is ended: encode, decode, tensor arithmetic, all in flight. */
const worker = `
  import { parentPort } from 'node:worker_threads';
  import { SAE, Tensor } from 'monosem';
  const sae = await SAE.loadFromDisk('assets/demo/saes/blocks.2.hook_resid_post');
  parentPort.postMessage('ready');
  for (let i = 0; ; i++) {
    const x = Tensor.randn([256, 192], { seed: i });
    const acts = await sae.encode(x);
    const recons = await sae.decode(acts);
    const pending = recons.sub(x).pow(2).mean().item();
    if (i % 3 !== 0) await pending;
    else pending.catch(() => {});
    for (const held of [x, acts, recons]) held.dispose();
  }
`;

it('survives threads that are terminated in mid-run', async () => {
  const { code, signal, stderr, stdout } = await program(`
    import { Worker } from 'node:worker_threads';
    import { SAE, Tensor } from 'monosem';
    const source = ${JSON.stringify(worker)};
    const start = () => new Promise((done, fail) => {
      const worker = new Worker(source, { eval: true });
      worker.once('error', fail);
      worker.once('message', () => done(worker));
    });
    for (let round = 0; round < 20; round++) {
      const workers = await Promise.all([start(), start(), start()]);
      await new Promise((done) => setTimeout(done, (round * 7) % 40));
      await Promise.all(workers.map((worker) => worker.terminate()));
    }
    // The main thread's own work is untouched.
    const sae = await SAE.loadFromDisk('assets/demo/saes/blocks.2.hook_resid_post');
    const acts = await sae.encode(Tensor.ones([4, 192]));
    console.log('alive', acts.shape.join());
  `);
  expect(stderr).toBe('');
  expect(stdout).toBe('alive 4,1536\n');
  expect([code, signal]).toEqual([0, null]);
});
