/** The programs of examples/, compiled and run against the demo, without a network. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HookedSAETransformer, SAE } from 'monosem';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { relativeError } from './support/golden.js';
import { writeOnnxGpt2 } from './support/onnx_gpt2.js';
import { type Ended, node, root } from './support/run.js';

const work = join(root, 'build', 'examples');
const onnxruntime = join(root, 'bench', 'node_modules', 'onnxruntime-node');

async function example(name: string, ...args: string[]): Promise<Ended> {
  const ended = await node([join(work, 'out', `${name}.js`), ...args], { HF_HUB_OFFLINE: '1' });
  expect(ended.stderr.replace(/^\d+ texts in .*\n/m, '')).toBe('');
  expect(ended.code).toBe(0);
  return ended;
}

beforeAll(() => {
  rmSync(work, { recursive: true, force: true });
  mkdirSync(join(work, 'node_modules'), { recursive: true });
  if (existsSync(onnxruntime))
    symlinkSync(onnxruntime, join(work, 'node_modules/onnxruntime-node'));
  const compilerOptions = {
    rootDir: '../../examples',
    outDir: 'out',
    noCheck: true, // that is `npm run typecheck`
    declaration: false,
    declarationMap: false,
    sourceMap: false,
  };
  const config = { extends: '../../tsconfig.json', compilerOptions, include: ['../../examples'] };
  writeFileSync(join(work, 'tsconfig.json'), JSON.stringify(config));
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const compiled = spawnSync(process.execPath, [tsc, '-p', work], { encoding: 'utf8' });
  expect(compiled.stdout).toBe('');
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

describe('examples/', () => {
  it('analyse: features of tokens, where they fire, what they argue for', async () => {
    const { stdout } = await example('analyse');
    expect(stdout).toMatch(/^"\." +10 +1383 \(11\.4\)/m);
    expect(stdout).toMatch(/^952 +" United" 10\.2 +" States"/m);
  });

  it('ablate: the features a prediction rests on', async () => {
    const { stdout } = await example('ablate', 'the President of the United');
    expect(stdout).toMatch(/^"the President of the United" -> " States"/);
    expect(stdout).toMatch(/^ +952 +[\d.]+ +-\d/m);
  });

  it('steer: strength 0 is the model as it is, more is not', async () => {
    const { stdout } = await example('steer', 'The President', '952', '0', '0', '12');
    const [none, again, steered] = stdout
      .trim()
      .split(/^952 \+ \d+: /m)
      .slice(1)
      .map((text) => text.trim());
    expect(none).toMatch(/^The President/);
    expect(again).toBe(none);
    expect(steered).not.toBe(none);
  });

  it('features_jsonl: every token of every text, as the texts by themselves have it', async () => {
    const all = readFileSync(join(root, 'assets/demo/texts.jsonl'), 'utf8').trim().split('\n');
    const texts = all.filter((_, i) => i % 16 === 0); // two batches, the second one short
    const file = join(work, 'texts.jsonl');
    writeFileSync(file, `${texts.join('\n')}\n\n`);
    const { stdout } = await example('features_jsonl', file);
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { tokens: string[]; features: [number, number][][] });
    expect(lines.length).toBe(texts.length);

    await using model = await HookedSAETransformer.fromPretrainedNoProcessing('assets/demo/model');
    using sae = await SAE.loadFromDisk('assets/demo/saes/blocks.2.hook_resid_post');
    const name = sae.hookName('hook_sae_acts_post');
    for (const i of [0, 15, texts.length - 1]) {
      const { text } = JSON.parse(texts[i]!) as { text: string };
      const { tokens } = lines[i]!;
      expect(tokens.slice(1).join('')).toBe(text);
      const { cache } = await model.runWithCacheWithSaes(text, { saes: sae, namesFilter: name });
      using _ = cache;
      const rows = [...(await cache.get(name).rows())].map((row) =>
        [...row].map(({ feature, value }) => [feature, value]),
      );
      const { features } = lines[i]!;
      expect(features.map((row) => row.length)).toEqual(rows.map((row) => row.length));
      expect(relativeError(features.flat(2), rows.flat(2) as number[])).toBeLessThan(1e-4);
    }
  });

  // `npm ci --ignore-scripts` in bench/ installs it
  it.skipIf(!existsSync(onnxruntime))(
    'onnx_activations: the features of our own forward [skipped without bench/node_modules/onnxruntime-node]',
    async () => {
      const path = join(work, 'demo.onnx');
      writeOnnxGpt2(join(root, 'assets/demo/model'), path);
      const value = '/model/layers.3/input_layernorm/output_3';
      const text =
        'In the beginning the President of the United States sent a message to the whale.';
      const { stdout } = await example('onnx_activations', path, value, text);
      expect(stdout).toMatch(/^" United" +1210 \(10\.\d\d\) +952 \(10\.\d\d\)/m);
      const { stdout: ours } = await example('analyse', text);
      const topOf = (output: string, column: RegExp) =>
        output
          .split('\n')
          .filter((line) => column.test(line))
          .map((line) => /(\d+) \(/.exec(line)?.[1]);
      const theirs = topOf(stdout, /^"/);
      expect(theirs.length).toBe(18);
      expect(topOf(ours, /^"/)).toEqual(theirs);
    },
  );
});
