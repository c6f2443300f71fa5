import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MonosemError } from '../../lib/error.js';
import { parseYaml } from '../../lib/loaders/yaml.js';

const parse = (text: string) => parseYaml(text, 'x.yaml');

describe('YAML', () => {
  it.each([
    [
      'scalars',
      'a: 1\nb: -2.5\nc: text here\nd: true\ne: no\nf: ~\ng:\nh: 1e3\ni: 1.0e+3\n',
      { a: 1, b: -2.5, c: 'text here', d: true, e: false, f: null, g: null, h: '1e3', i: 1000 },
    ],
    [
      'quotes',
      `a: "x: #y"\nb: 'it''s'\n"c d": "\\u00e9\\n"\n`,
      { a: 'x: #y', b: "it's", 'c d': 'é\n' },
    ],
    ['comments', '# top\na: 1 # one\n\n  # between\nb: x#y\n', { a: 1, b: 'x#y' }],
    ['nesting', 'a:\n  b:\n    c: 1\n  d: 2\ne: 3', { a: { b: { c: 1 }, d: 2 }, e: 3 }],
    [
      'sequences',
      'a:\n- 1\n- x\nb:\n  - c: 1\n    d: 2\n  - - 3\n    - 4\n  -\n    e: 5',
      { a: [1, 'x'], b: [{ c: 1, d: 2 }, [3, 4], { e: 5 }] },
    ],
    [
      'flow',
      'a: {value: 1.0e+7, desc: ~, "k": [1, [], {}]}\nb: [x, "y, z",\n  3]\n',
      { a: { value: 1e7, desc: null, k: [1, [], {}] }, b: ['x', 'y, z', 3] },
    ],
    [
      'literals',
      'a: |\n  one: 1\n    two\n\n  three\nb: >-\n  folded\n  text\nc: 1',
      { a: 'one: 1\n  two\n\nthree\n', b: 'folded text', c: 1 },
    ],
    ['continued scalars', 'a: a long text\n  goes on\nb: 1', { a: 'a long text goes on', b: 1 }],
    ['addresses', 'a: hf://x/y\nb: 12:30', { a: 'hf://x/y', b: '12:30' }],
    ['apostrophes', `a: [it's, 'so''s', x]\nb: don't`, { a: ["it's", "so's", 'x'], b: "don't" }],
    ['a document start', '---\na: 1', { a: 1 }],
    ['Windows line ends', 'a: 1\r\nb:\r\n  c: 2\r\n', { a: 1, b: { c: 2 } }],
  ])('reads %s', (_, text, value) => expect(parse(text)).toEqual(value));

  it.each([
    ['nothing', ''],
    ['a sequence', '- 1'],
    ['a scalar', 'text'],
    ['an anchor', 'a: &x 1'],
    ['an alias', 'a: *x'],
    ['a tag', 'a: !!python/object/apply:os.system ["true"]'],
    ['a tag on a mapping', 'a: !x\n  b: 1'],
    ['a merge', 'a:\n  <<: *x'],
    ['a tab', 'a:\n\tb: 1'],
    ['a key twice', 'a: 1\na: 2'],
    ['a key twice in flow', 'a: {b: 1, b: 2}'],
    ['an open bracket', 'a: [1, 2'],
    ['an open quote', 'a: "x'],
    ['a stray indentation', 'a: 1\n   b: 2'],
    ['something after a value', 'a: [1] 2'],
    ['a comment within brackets', 'a: [1, # one\n  2]'],
    ['a complex key', '? a\n: b'],
    ['two documents', 'a: 1\n---\nb: 2'],
    ['deep nesting', `a: ${'['.repeat(100)}${']'.repeat(100)}`],
    ['great length', `a: ${'x'.repeat(300_000)}`],
  ])('refuses %s', (_, text) => {
    expect(() => parse(text)).toThrow(MonosemError);
  });

  it('keeps special keys as plain names', () => {
    const value = parse('__proto__:\n  polluted: 1\nconstructor: 2');
    expect(Object.keys(value)).toEqual(['__proto__', 'constructor']);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it('reads JSON, which is YAML', () => {
    const leaf = fc.oneof(fc.integer(), fc.boolean(), fc.constant(null), fc.string());
    const json = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        leaf,
        fc.array(tie('value'), { maxLength: 4 }),
        fc.dictionary(fc.string(), tie('value'), { maxKeys: 4 }),
      ),
    })).value;
    fc.assert(
      fc.property(json, (value) => {
        expect(parse(`a: ${JSON.stringify(value)}`)).toEqual({
          a: JSON.parse(JSON.stringify(value)),
        });
      }),
    );
  });

  it('ends promptly on any text', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'ab:-#"\'[]{},|> \n\t&*!0'), maxLength: 200 }),
        (text) => {
          try {
            parse(text);
          } catch (error) {
            expect(error).toBeInstanceOf(MonosemError);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});
