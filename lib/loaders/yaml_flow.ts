import type { Json } from '../sae/config.js';

/** How many levels of brackets or indentation are read. */
export const DEEPEST = 64;

/** Flow style: what brackets and quotes enclose, JSON being a part of it. */
export class Flow {
  readonly #text: string;
  readonly #fail: (why: string) => never;
  #at = 0;

  constructor(text: string, fail: (why: string) => never) {
    this.#text = text;
    this.#fail = fail;
  }

  /** Whether all quotes and brackets that are opened are closed. */
  isComplete(): boolean {
    let depth = 0;
    let quote = '';
    let before = '['; // the last character that is no space: quotes open where a value may begin
    for (let i = 0; i < this.#text.length; i++) {
      const c = this.#text[i] as string;
      if (quote !== '') {
        if (quote === '"' && c === '\\') i++;
        else if (c === quote) quote = '';
      } else if ((c === '"' || c === "'") && '[{,:'.includes(before)) quote = c;
      else if (c === '[' || c === '{') depth++;
      else if (c === ']' || c === '}') depth--;
      if (c !== ' ') before = c;
    }
    return depth <= 0 && quote === '';
  }

  /** The value, after which nothing but a comment may come. */
  only(): unknown {
    const value = this.#value(0);
    const rest = this.#text.slice(this.#at).trimStart();
    if (rest !== '' && !rest.startsWith('#')) this.#fail(`${rest.slice(0, 40)} follows a value`);
    return value;
  }

  #peek(): string {
    while (/\s/.test(this.#text[this.#at] ?? '')) this.#at++;
    return this.#text[this.#at] ?? '';
  }

  #value(depth: number): unknown {
    if (depth > DEEPEST) this.#fail(`it nests more than ${DEEPEST} levels deep`);
    const start = this.#peek();
    if (start === '[') return this.#list(depth);
    if (start === '{') return this.#object(depth);
    if (start === '"' || start === "'") return this.#quoted(start);
    if (/[&*!%@`|>]/.test(start)) this.#fail('anchors, aliases and tags are not read');
    if (start === '#') this.#fail('comments within brackets are not read');
    return resolvePlain(this.#plain(/[,\]}]|: |:$/));
  }

  #list(depth: number): unknown[] {
    const items: unknown[] = [];
    this.#at++;
    while (this.#peek() !== ']') {
      items.push(this.#value(depth + 1));
      if (this.#peek() === ',') this.#at++;
      else if (this.#peek() !== ']') this.#fail('"," or "]" is expected');
    }
    this.#at++;
    return items;
  }

  #object(depth: number): Json {
    const entries = new Map<string, unknown>();
    this.#at++;
    while (this.#peek() !== '}') {
      const quote = this.#peek();
      const key = quote === '"' || quote === "'" ? this.#quoted(quote) : this.#plain(/[,\]}]|:/);
      if (this.#peek() !== ':') this.#fail('":" is expected');
      this.#at++;
      if (entries.has(key)) this.#fail(`the key ${key} comes twice`);
      entries.set(key, /[,}]/.test(this.#peek()) ? null : this.#value(depth + 1));
      if (this.#peek() === ',') this.#at++;
      else if (this.#peek() !== '}') this.#fail('"," or "}" is expected');
    }
    this.#at++;
    return plainObject(entries);
  }

  #plain(end: RegExp): string {
    const rest = this.#text.slice(this.#at);
    const length = end.exec(rest)?.index ?? rest.length;
    this.#at += length;
    const text = rest.slice(0, length).trim();
    if (text === '') this.#fail('a value is expected');
    return text;
  }

  #quoted(quote: string): string {
    const start = ++this.#at;
    for (; this.#at < this.#text.length; this.#at++) {
      const c = this.#text[this.#at];
      if (quote === '"' && c === '\\') this.#at++;
      else if (c === quote && quote === "'" && this.#text[this.#at + 1] === "'") this.#at++;
      else if (c === quote) break;
    }
    if (this.#at >= this.#text.length) this.#fail('a quote is not closed');
    const body = this.#text.slice(start, this.#at++);
    if (quote === "'") return body.replaceAll("''", "'");
    try {
      return JSON.parse(`"${body.replaceAll('\t', '\\t')}"`) as string;
    } catch {
      return this.#fail(`the escapes of ${body.slice(0, 40)} are not read`);
    }
  }
}

/** An object whose keys are its own, "__proto__" like any other. */
export function plainObject(entries: ReadonlyMap<string, unknown>): Json {
  return Object.fromEntries(entries);
}

/** YAML 1.1's types, as PyYAML takes them: 1e7 is text, since it lacks the point and the sign. */
export function resolvePlain(text: string): unknown {
  if (/^(null|Null|NULL|~|)$/.test(text)) return null;
  if (/^(true|True|TRUE|yes|Yes|YES|on|On|ON)$/.test(text)) return true;
  if (/^(false|False|FALSE|no|No|NO|off|Off|OFF)$/.test(text)) return false;
  if (/^[-+]?(0|[1-9][0-9_]*)$/.test(text)) return Number(text.replaceAll('_', ''));
  if (/^[-+]?(\d[\d_]*\.[\d_]*([eE][-+]\d+)?|\.\d[\d_]*([eE][-+]\d+)?)$/.test(text)) {
    return Number(text.replaceAll('_', ''));
  }
  return text;
}
