import { MonosemError } from '../error.js';
import { isObject, type Json } from '../sae/config.js';
import { DEEPEST, Flow, plainObject, resolvePlain } from './yaml_flow.js';

/**
 * The YAML of configuration files, as PyYAML's safe_load reads it: block and flow mappings and sequences,
 * plain, quoted and literal scalars, comments. Anchors, aliases, tags and several documents are refused:
 * no file that a loader reads needs them. Throws ERR_FORMAT naming the line; `where` names the file.
 */
export function parseYaml(text: string, where: string): Json {
  if (text.length > LONGEST) {
    throw new MonosemError('ERR_FORMAT', `${where} is too long for a configuration`);
  }
  const value = new Parser(text, where).document();
  if (isObject(value)) return value;
  throw new MonosemError('ERR_FORMAT', `${where} must hold a YAML mapping`);
}

interface Line {
  readonly number: number;
  readonly indent: number;
  /** Without indentation. */
  readonly text: string;
}

/** Characters: far more than a configuration needs. */
const LONGEST = 262_144;

class Parser {
  readonly #where: string;
  readonly #source: readonly string[];
  /** The line being read; its text shrinks as it is. */
  #line: Line | undefined;
  #next = 0;
  #depth = 0;

  constructor(text: string, where: string) {
    this.#where = where;
    this.#source = text.replace(/^\ufeff/, '').split(/\r?\n/);
  }

  document(): unknown {
    this.#advance();
    if (this.#line?.text === '---') this.#advance();
    const value = this.#line === undefined ? null : this.#block(0);
    if (this.#line !== undefined) this.#fail('what follows belongs to nothing');
    return value;
  }

  #fail(why: string): never {
    throw new MonosemError(
      'ERR_FORMAT',
      `${this.#where}, line ${this.#line?.number ?? this.#source.length}: ${why}`,
    );
  }

  /** To the next line that is neither empty nor a comment. */
  #advance(): void {
    for (; this.#next < this.#source.length; this.#next++) {
      const raw = this.#source[this.#next] as string;
      const text = raw.trimStart();
      if (text === '' || text.startsWith('#')) continue;
      const indent = raw.length - text.length;
      if (raw.slice(0, indent).includes('\t')) this.#fail('a tab indents it');
      this.#next++;
      this.#line = { number: this.#next, indent, text: text.trimEnd() };
      return;
    }
    this.#line = undefined;
  }

  /** A mapping, a sequence or a scalar whose lines are indented by `indent` or more. */
  #block(indent: number): unknown {
    const line = this.#line;
    if (line === undefined || line.indent < indent) return null;
    return this.#deeper(() => {
      if (line.text === '-' || line.text.startsWith('- ')) return this.#sequence(line.indent);
      if (splitKey(line.text) !== undefined) return this.#mapping(line.indent);
      return this.#scalar(line.text, line.indent - 1);
    });
  }

  #deeper<T>(body: () => T): T {
    if (++this.#depth > DEEPEST) this.#fail(`it nests more than ${DEEPEST} levels deep`);
    const value = body();
    this.#depth--;
    return value;
  }

  #sequence(indent: number): unknown[] {
    const items: unknown[] = [];
    while (this.#line?.indent === indent && /^-(\s|$)/.test(this.#line.text)) {
      const { number, text } = this.#line;
      const rest = text.slice(1).trimStart();
      if (rest === '' || rest.startsWith('#')) {
        this.#advance();
        items.push(this.#block(indent + 1));
      } else {
        // What follows the dash is a block of its own, indented by where it stands.
        this.#line = { number, indent: indent + text.length - rest.length, text: rest };
        items.push(this.#block(indent + 1));
      }
    }
    if ((this.#line?.indent ?? -1) > indent) this.#fail('it is indented too far');
    return items;
  }

  #mapping(indent: number): Json {
    const entries = new Map<string, unknown>();
    while (this.#line?.indent === indent) {
      const split = splitKey(this.#line.text);
      if (split === undefined) this.#fail('a "key: value" is expected');
      const key = this.#key(split.key);
      if (entries.has(key)) this.#fail(`the key ${key} comes twice`);
      entries.set(key, this.#value(split.rest, indent));
    }
    if ((this.#line?.indent ?? -1) > indent) this.#fail('it is indented too far');
    return plainObject(entries);
  }

  /** What stands behind "key:", there or on the lines below. */
  #value(rest: string, indent: number): unknown {
    if (rest !== '' && !rest.startsWith('#')) return this.#scalar(rest, indent);
    this.#advance();
    // A sequence may stand at its key's own indentation.
    if (this.#line?.indent === indent && /^-(\s|$)/.test(this.#line.text)) {
      return this.#deeper(() => this.#sequence(indent));
    }
    return this.#block(indent + 1);
  }

  #key(text: string): string {
    if (text.startsWith('"') || text.startsWith("'"))
      return new Flow(text, (w) => this.#fail(w)).only() as string;
    if (/^[?&*!|>%@`[{]/.test(text)) this.#fail(`the key ${text} is of a kind that is not read`);
    return text;
  }

  /** A value that begins with `text`, continued by lines indented deeper than `indent`. */
  #scalar(text: string, indent: number): unknown {
    if (/^[|>]/.test(text)) return this.#literal(text, indent);
    if (/^[&*!%@`]/.test(text)) {
      this.#fail(`anchors, aliases and tags are not read: ${text.slice(0, 40)}`);
    }
    const parts = [text];
    let flow = new Flow(text, (why) => this.#fail(why));
    const structured = /^["'[{]/.test(text);
    while (structured && !flow.isComplete()) {
      this.#advance();
      if (this.#line === undefined) this.#fail('it ends within quotes or brackets');
      parts.push(this.#line.text);
      flow = new Flow(parts.join(' '), (why) => this.#fail(why));
    }
    if (structured) {
      const value = flow.only();
      this.#advance();
      return value;
    }
    const plain = [withoutComment(text)];
    this.#advance();
    while (this.#line !== undefined && this.#line.indent > indent) {
      if (splitKey(this.#line.text) !== undefined) this.#fail('a mapping within a plain scalar');
      plain.push(withoutComment(this.#line.text));
      this.#advance();
    }
    return resolvePlain(plain.join(' '));
  }

  /** "|" keeps line ends, ">" folds them. */
  #literal(header: string, indent: number): string {
    const lines: string[] = [];
    for (; this.#next < this.#source.length; this.#next++) {
      const raw = this.#source[this.#next] as string;
      if (raw.trim() !== '' && raw.length - raw.trimStart().length <= indent) break;
      lines.push(raw);
    }
    const margin = Math.min(
      ...lines.filter((l) => l.trim() !== '').map((l) => l.length - l.trimStart().length),
    );
    const body = lines.map((l) => l.slice(margin)).join(header.startsWith('>') ? ' ' : '\n');
    this.#advance();
    return header.includes('-') ? body.trimEnd() : `${body.trimEnd()}\n`;
  }
}

/** "key: rest", the key perhaps quoted. */
function splitKey(text: string): { key: string; rest: string } | undefined {
  const quote = text[0];
  let colon = 0;
  if (quote === '"' || quote === "'") {
    colon = text.indexOf(quote, 1) + 1;
    while (colon > 0 && text[colon] === ' ') colon++;
    if (colon === 0 || text[colon] !== ':') return undefined;
  } else {
    if (quote === '[' || quote === '{' || quote === '#') return undefined;
    while (colon < text.length && !(text[colon] === ':' && /\s|^$/.test(text[colon + 1] ?? ''))) {
      if (text[colon] === '#' && text[colon - 1] === ' ') return undefined;
      colon++;
    }
    if (colon === 0 || colon === text.length) return undefined;
  }
  return { key: text.slice(0, colon).trimEnd(), rest: text.slice(colon + 1).trimStart() };
}

function withoutComment(text: string): string {
  return text.replace(/\s#.*$/, '').trimEnd();
}
