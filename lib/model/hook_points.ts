import type { PointTable } from '../hooks/types.js';
import type { ModelConfig } from './config.js';
import type { ModuleNames } from './families/family.js';
import {
  type BlockPoints,
  blockPoints,
  type OutsidePoints,
  outsidePoints,
  type Point,
  type Points,
} from './points.js';

/** Whose names are the canonical ones: those hooks see, `hookNames` lists and caches are keyed by. */
export type NamingStyle = 'transformer_lens' | 'bridge';

/**
 * Every hook point of one model in firing order, under TransformerLens' names, TransformerBridge's
 * names and Hugging Face's module paths: aliases of one point. (HookedTransformer of TransformerLens,
 * TransformerBridge 3.x, transformers 5.)
 */
export class HookPoints implements PointTable {
  readonly names: readonly string[];
  readonly blocks: readonly BlockPoints[];
  readonly outside: OutsidePoints;
  /** Every spelling without a Hugging Face prefix, to the canonical name. */
  readonly #aliases = new Map<string, string>();
  readonly #onRequest = new Set<string>();
  readonly #cannotFire = new Map<string, string>();
  readonly #order = new Map<string, number>();
  readonly #prefixes: readonly string[];

  constructor(cfg: ModelConfig, modules: ModuleNames, style: NamingStyle) {
    const outside = outsidePoints(cfg, modules);
    const blocks = Array.from({ length: cfg.nLayers }, (_, layer) =>
      blockPoints(cfg, modules, layer),
    );
    const { tokens, embed, posEmbed, ...end } = outside;
    const inOrder = [
      ...[tokens, embed, posEmbed],
      ...blocks.flatMap((block) => Object.values<Point | undefined>(block)),
      ...Object.values(end),
    ].filter((point) => point !== undefined);
    const canonical = ({ name, bridge }: Point) =>
      style === 'bridge' ? (bridge?.[0] ?? name) : name;
    for (const point of inOrder) this.#enter(point, canonical(point));
    this.names = inOrder.filter((point) => point.cannotFire === undefined).map(canonical);
    this.names.forEach((name, i) => {
      this.#order.set(name, i);
    });
    const strings = <Key extends string>(points: Points<Key>) =>
      Object.fromEntries(
        Object.entries<Point | undefined>(points).map(([key, point]) => [
          key,
          point === undefined ? '' : canonical(point),
        ]),
      ) as Record<Key, string>;
    this.blocks = blocks.map((block) => strings(block));
    this.outside = strings(outside);
    this.#prefixes = modules.prefixes;
  }

  #enter(point: Point, canonical: string): void {
    const spellings = [point.name, ...(point.bridge ?? []), ...(point.modules ?? [])];
    for (const spelling of spellings) {
      if (!this.#aliases.has(spelling)) this.#aliases.set(spelling, canonical);
    }
    if (point.onRequest === true) this.#onRequest.add(canonical);
    if (point.cannotFire !== undefined) this.#cannotFire.set(canonical, point.cannotFire);
  }

  /** A Hugging Face path without ".input" or ".output" is a module's output; "[0]" of a tuple is understood. */
  resolve(name: string): string | undefined {
    const direct = this.#aliases.get(name);
    if (direct !== undefined || name.startsWith('blocks.')) return direct;
    const path = name
      .replace(/\[(\d+)\]/g, '.$1')
      .replace(/\.(output|input)\.0$/, '.$1')
      .replace(/^\./, '');
    const side = /\.(in|out)put$/.test(path) ? path : `${path}.output`;
    const stripped = this.#prefixes.filter((prefix) => side.startsWith(prefix));
    for (const prefix of ['', ...stripped]) {
      const found = this.#aliases.get(side.slice(prefix.length));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  cannotFire(name: string): string | undefined {
    return this.#cannotFire.get(name);
  }

  onRequest(name: string): boolean {
    return this.#onRequest.has(name);
  }

  /** Its place in firing order. */
  order(name: string): number {
    return this.#order.get(name) ?? -1;
  }
}
