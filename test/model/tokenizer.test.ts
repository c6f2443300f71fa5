import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HookedTransformer } from '../../lib/model/hooked_transformer.js';
import { ModelTokenizer } from '../../lib/model/tokenizer.js';
import { readJson } from '../support/golden.js';

const demo = fileURLToPath(new URL('../../assets/demo/model', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'monosem-tokenizer-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** The demo's tokenizer under another tokenizer_config.json. */
async function tokenizer(config: object, ids = {}): Promise<ModelTokenizer> {
  const folder = mkdtempSync(join(scratch, 't-'));
  cpSync(join(demo, 'tokenizer.json'), join(folder, 'tokenizer.json'));
  writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(config));
  return (await ModelTokenizer.load(folder, { eosTokenIds: [], ...ids })) as ModelTokenizer;
}

describe('tokens and text', () => {
  let model: HookedTransformer;
  beforeAll(async () => {
    model = await HookedTransformer.fromPretrainedNoProcessing(demo);
  });
  afterAll(() => model.dispose());

  it('prepends exactly one BOS, and only where asked', () => {
    const bare = [...model.toTokens('the whale', { prependBos: false }).ids];
    expect([...model.toTokens('the whale').ids]).toEqual([0, ...bare]);
    expect([...model.toTokens('<|endoftext|>the whale').ids]).toEqual([0, ...bare]);
    expect([...model.toTokens('').ids]).toEqual([0]);
    expect(() => model.toTokens('', { prependBos: false })).toThrowError(/at least one token/);
  });

  it('pads batches on the right under a mask', () => {
    const { ids, shape, mask } = model.toTokens(['the whale and the sea', 'the']);
    const [, length] = shape;
    expect(shape[0]).toBe(2);
    expect([...(mask as Uint8Array).subarray(length)]).toEqual(
      Array.from({ length }, (_, i) => (i < 2 ? 1 : 0)),
    );
    expect([...ids.subarray(length + 2)]).toEqual(Array(length - 2).fill(0));
    expect(model.toTokens(['the', 'the']).mask).toBeUndefined();
  });

  it('goes there and back', () => {
    for (const text of ['In the beginning', ' naïve — “quotes” 你好 🐳', 'a\n\tb', 'x\ud800y']) {
      const tokens = model.toTokens(text, { prependBos: false });
      expect(model.toText(tokens)).toBe(text.toWellFormed());
      expect(model.toStrTokens(tokens.ids)).toHaveLength(tokens.ids.length);
    }
    expect(model.toText(model.toTokens(['a', 'a']))).toBe('<|endoftext|>a\n<|endoftext|>a');
    expect(model.tokenizer.decode([])).toBe('');
    expect(model.tokenizer.decode([0], { skipSpecialTokens: true })).toBe('');
  });

  it('knows single tokens', () => {
    const id = model.toSingleToken(' the');
    expect(model.toStrTokens([id])).toEqual([' the']);
    expect(() => model.toSingleToken(' the whale')).toThrowError(/expected one token.*is 2/);
    expect(() => model.toSingleToken('')).toThrowError(/is 0/);
  });

  it('gives a batch of texts the loss of each', async () => {
    const texts = ['In the beginning God', 'the sea'];
    const each = await Promise.all(
      texts.map(async (text) => {
        const count = model.toTokens(text).shape[1] - 1;
        const loss = await (await model.forward(text, { returnType: 'loss' })).item();
        return { count, sum: loss * count };
      }),
    );
    const both = await (await model.forward(texts, { returnType: 'loss' })).item();
    const count = each.reduce((total, one) => total + one.count, 0);
    expect(both).toBeCloseTo(each.reduce((total, one) => total + one.sum, 0) / count, 4);
  });
});

describe('special tokens', () => {
  it('come from tokenizer_config.json, then config.json, then EOS', async () => {
    const end = '<|endoftext|>';
    expect(await tokenizer({ bos_token: { content: end } })).toMatchObject({ bosTokenId: 0 });
    const bare = await tokenizer({});
    expect([bare.eosTokenId, bare.padTokenId, bare.bosTokenId]).toEqual([0, 0, 0]);
    const given = await tokenizer({}, { bosTokenId: 5, eosTokenIds: [6, 7], padTokenId: 8 });
    expect([given.eosTokenId, given.padTokenId, given.bosTokenId]).toEqual([6, 8, 5]);
  });
});

describe('chat templates', () => {
  const template =
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'robot' %}{{ raise_exception('no robots') }}{% endif %}" +
    '<{{ m.role }}>{{ m.content | trim }}\n{% endfor %}{% if add_generation_prompt %}<model>{% endif %}';
  const config = { ...readJson(join(demo, 'tokenizer_config.json')), chat_template: template };
  const messages = [
    { role: 'user', content: ' Call me ' },
    { role: 'model', content: 'Ishmael' },
  ];

  it('turn messages into text', async () => {
    const chat = await tokenizer(config);
    const text = chat.applyChatTemplate(messages);
    expect(text).toBe('<|endoftext|><user>Call me\n<model>Ishmael\n<model>');
    const closed = chat.applyChatTemplate(messages, { addGenerationPrompt: false });
    expect(closed.endsWith('Ishmael\n')).toBe(true);
    expect(chat.encodeText(text, true).filter((id) => id === 0)).toHaveLength(1);
    const several = [
      { name: 'tool_use', template: 'x' },
      { name: 'default', template },
    ];
    const named = await tokenizer({ ...config, chat_template: several });
    expect(named.applyChatTemplate(messages)).toBe(text);
  });

  it('refuse what they do not take', async () => {
    const chat = await tokenizer(config);
    expect(() => chat.applyChatTemplate([{ role: 'robot', content: '' }])).toThrowError(
      /no robots/,
    );
    const none = await tokenizer({});
    expect(() => none.applyChatTemplate(messages)).toThrowError(/no chat template/);
    const broken = await tokenizer({ ...config, chat_template: '{% for %}' });
    expect(() => broken.applyChatTemplate(messages)).toThrowError(
      expect.objectContaining({ code: 'ERR_TOKENIZER' }),
    );
  });
});
