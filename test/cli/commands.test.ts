import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { monosem, node, root } from '../support/run.js';

const scratch = mkdtempSync(join(tmpdir(), 'monosem-cli-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** A failure as users see it: one sentence on stderr, no stack, nothing on stdout. */
function expectSentence(
  ended: { stdout: string; stderr: string; code: number | null },
  code: number,
  message: RegExp,
) {
  expect(ended.stderr).toMatch(message);
  expect(ended.stderr).toMatch(/^monosem: /);
  expect(ended.stderr).not.toMatch(/^\s+at /m);
  expect(ended.stdout).toBe('');
  expect(ended.code).toBe(code);
}

describe('monosem', () => {
  it('lists its commands when asked for nothing or for help', async () => {
    const [bare, long] = await Promise.all([monosem(), monosem('--help')]);
    for (const command of ['demo', 'features', 'steer', 'info', 'saes', 'devices']) {
      expect(bare.stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
    }
    expect(long.stdout).toBe(bare.stdout);
    expect([bare.code, long.code]).toEqual([0, 0]);
  });

  it('says its version', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const { stdout, code } = await monosem('--version');
    expect([stdout, code]).toEqual([`${version}\n`, 0]);
  });

  it('explains each command', async () => {
    for (const command of ['demo', 'features', 'steer', 'info', 'saes', 'devices']) {
      const { stdout, code } = await monosem(command, '--help');
      expect(stdout).toContain(`Usage: monosem ${command}`);
      expect(code).toBe(0);
    }
  });

  it('names the nearest command for one that does not exist, exit code 2', async () => {
    expectSentence(
      await monosem('featuers'),
      2,
      /no command "featuers"; did you mean "features"\?/,
    );
    expectSentence(await monosem('toString'), 2, /no command "toString"/);
  });

  it('ends quietly when its reader has seen enough', async () => {
    const child = spawn(process.execPath, ['dist/cli/main.js', 'features', 'a b c d', '--json'], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stderr = '';
    child.stderr.on('data', (text) => (stderr += text));
    child.stdout.destroy();
    const code = await new Promise((done) => child.on('close', done));
    expect(stderr).toBe('');
    expect(code).toBe(0);
  });
});

describe('monosem devices', () => {
  it('shows the CPU, and why CUDA is missing where it is', async () => {
    const { stdout, code } = await monosem('devices');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^cpu /m);
    const { stdout: json } = await monosem('devices', '--json');
    const { devices, cuda } = JSON.parse(json);
    expect(devices[0].device).toBe('cpu');
    expect(devices[0].memory).toBeGreaterThan(0);
    expect(cuda.available).toBe(cuda.reason === undefined);
  });
});

describe('monosem info', () => {
  it('describes the demo SAE by default, and the one named', async () => {
    const { stdout, code } = await monosem('info');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^architecture +jumprelu$/m);
    expect(stdout).toMatch(/^features +1536$/m);
    const { stdout: json } = await monosem(
      'info',
      'assets/demo/saes/blocks.1.hook_resid_post',
      '--json',
    );
    expect(JSON.parse(json)).toMatchObject({ architecture: 'topk', dIn: 192, dSae: 1536, k: 16 });
  });

  it('says what is wrong with a folder', async () => {
    expectSentence(await monosem('info', join(scratch, 'none')), 1, /no folder.*ERR_NOT_FOUND/);
    expectSentence(await monosem('info', 'test/fixtures/models/gpt2'), 1, /a model, .* not an SAE/);
    const broken = join(scratch, 'broken');
    mkdirSync(broken);
    writeFileSync(join(broken, 'cfg.json'), '{"d_in": 4,');
    expectSentence(await monosem('info', broken), 1, /cfg\.json.*\(ERR_FORMAT\)/s);
    expectSentence(await monosem('info', 'a', 'b'), 2, /expected one DIR, got 2/);
  });
});

describe('monosem features', () => {
  it('prints a row per token, then the measures', async () => {
    const { stdout, stderr, code } = await monosem('features', 'Call me Ishmael.', '--top', '2');
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const rows = stdout.split('\n');
    expect(rows[0]).toMatch(/^<\|endoftext\|> +\(not counted\)$/);
    expect(rows[8]).toMatch(/^\. +#1383 8\.57 +#1210 8\.53$/);
    expect(stdout).toMatch(/features per token \(L0\) +17\.9/);
    expect(stdout).toMatch(/loss of the model +4\.350/);
    expect(stdout).toMatch(/loss through the SAE +4\.603/);
  });

  it('gives everything as JSON', async () => {
    const sae = 'assets/demo/saes/blocks.1.hook_resid_post';
    const { stdout } = await monosem(
      ...['features', 'Call me Ishmael.', '--json', '--top', '3'],
      ...['--model', 'assets/demo/model', '--sae', sae],
    );
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ sae, hookName: 'blocks.1.hook_resid_post', l0: 16 });
    expect(result.tokens).toHaveLength(9);
    expect(result.tokens[8].features).toHaveLength(3);
    expect(result.tokens[8].features[0].feature).toBe(297);
    expect(result.explainedVariance).toBeGreaterThan(0.7);
    expect(result.explainedVariance).toBeLessThan(1);
  });

  it('refuses wrong use with exit code 2', async () => {
    expectSentence(await monosem('features'), 2, /expected a TEXT/);
    expectSentence(await monosem('features', 'two', 'texts'), 2, /put it in quotes/);
    expectSentence(await monosem('features', 'x', '--top', '0'), 2, /--top expects a whole number/);
    expectSentence(await monosem('features', 'x', '--tpo', '1'), 2, /--tpo/);
    expectSentence(await monosem('features', 'x', '--model', 'm'), 2, /--model needs --sae/);
  });

  it('fails with a sentence, and with a stack for MONOSEM_LOG=debug', async () => {
    expectSentence(
      await monosem('features', 'x', '--sae', join(scratch, 'no')),
      1,
      /ERR_NOT_FOUND/,
    );
    expectSentence(await monosem('features', 'x', '--device', 'tpu'), 1, /ERR_DEVICE/);
    const { stderr, code } = await node(
      ['dist/cli/main.js', 'features', 'x', '--sae', join(scratch, 'no')],
      { MONOSEM_LOG: 'debug' },
    );
    expect(stderr).toMatch(/^\s+at /m);
    expect(code).toBe(1);
  });
});

describe('monosem steer', () => {
  it('shifts the next token', async () => {
    const { stdout } = await monosem(
      ...['steer', 'Call me Ishmael.', '--feature', '1383', '--strength', '30', '--json'],
    );
    const { before, after } = JSON.parse(stdout);
    expect(after.continuation).not.toBe(before.continuation);
    expect(before.loss).toBeCloseTo(4.3501, 3);
    expect(after.loss).toBeGreaterThan(before.loss);
    expect(before.next).toHaveLength(8);
    expect(after.next.map(({ token }: { token: string }) => token)).not.toEqual(
      before.next.map(({ token }: { token: string }) => token),
    );
  });

  it('changes nothing at strength 0', async () => {
    const { stdout } = await monosem(
      ...['steer', 'Call me Ishmael.', '--feature', '7', '--strength', '0', '--json'],
    );
    const { before, after } = JSON.parse(stdout);
    expect(after.loss).toBeCloseTo(before.loss, 5);
    expect(after.continuation).toBe(before.continuation);
  });

  it('refuses a feature the SAE lacks, and wrong use', async () => {
    expectSentence(
      await monosem('steer', 'x', '--feature', '1536'),
      1,
      /0 to 1535, got 1536 \(ERR_INVALID_ARGUMENT\)/,
    );
    expectSentence(await monosem('steer', 'x'), 2, /--feature says which/);
    expectSentence(await monosem('steer', 'x', '--feature', '1.5'), 2, /--feature expects a whole/);
    expectSentence(
      await monosem('steer', 'x', '--feature', '1', '--strength', 'much'),
      2,
      /--strength expects a number/,
    );
  });
});

describe('monosem demo', () => {
  it('shows tokens, measures, and features in context', async () => {
    const { stdout, stderr, code } = await monosem('demo');
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).toMatch(/variance explained +\d+\.\d %/);
    expect(stdout.match(/^#\d+ {2}on \d+\.\d\d % of tokens$/gm)).toHaveLength(6);
    expect(stdout.match(/\[[^\]]+\]/g)!.length).toBeGreaterThanOrEqual(24);
  });
});
