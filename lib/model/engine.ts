import type { Device } from '../device.js';
import { MonosemError } from '../error.js';
import { HookRegistry, type RunOptions } from '../hooks/hook_registry.js';
import type { HookRun } from '../hooks/hook_run.js';
import { fence } from '../ops.js';
import { Tensor } from '../tensor.js';
import { blocks, embed, finalNorm, unembed } from './forward.js';
import { Frame } from './frame.js';
import { HookPoints, type NamingStyle } from './hook_points.js';
import type { KeyValueCache } from './key_value_cache.js';
import type { LoadedModel } from './load.js';
import { nextTokenLoss } from './loss.js';
import { RotaryTables } from './rotary.js';
import type { Hooks, ModelCore, Place, Run } from './run.js';
import { placeTokens, type Tokens } from './tokens.js';
import { tensorsOf } from './weights.js';

/** What a run gives back; null: nothing, and it ends after the last layer that a hook looks at. */
export type ReturnType = 'logits' | 'loss' | null;

export interface RunRequest extends RunOptions {
  returnType?: ReturnType | undefined;
  /** Blocks from this one on; the input is then the residual [b, p, d_model] that enters it. */
  startAtLayer?: number | undefined;
  /** Up to this block, which does not run; the result is the residual that would enter it. */
  stopAtLayer?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Of the residual, when the input is one. */
  tokens?: Tokens | undefined;
  /** What was read before, extended by this run. */
  keyValues?: KeyValueCache | undefined;
  /** Puts something around the hooks of the run: what a trace reads and replaces. */
  observe?: ((hooks: HookRun) => Hooks) | undefined;
  /** Only the last position is unembedded, when no hook looks there. */
  onlyLast?: boolean;
}

/** A loaded model on its device with its hook points: runs tokens or residuals through its blocks. */
export class ModelEngine {
  readonly model: LoadedModel;
  readonly points: HookPoints;
  readonly hooks: HookRegistry;
  readonly #core: ModelCore;
  readonly #rotary: RotaryTables;
  #disposed = false;

  constructor(model: LoadedModel, style: NamingStyle) {
    this.model = model;
    this.points = new HookPoints(model.cfg, model.modules, style);
    this.hooks = new HookRegistry(this.points);
    this.#rotary = new RotaryTables(model.device);
    const { cfg, weights } = model;
    this.#core = { cfg, weights, points: this.points, rotary: this.#rotary };
  }

  get device(): Device {
    return this.model.device;
  }

  /** Throws ERR_DISPOSED after dispose. */
  alive(): void {
    if (this.#disposed) {
      throw new MonosemError(
        'ERR_DISPOSED',
        `the model ${this.model.cfg.modelName} was disposed; load it again`,
      );
    }
  }

  /**
   * Everything is queued without waiting, hooks apart; resolves when the result is there. undefined
   * when none is asked for.
   */
  async run(input: Tokens | Tensor, request: RunRequest): Promise<Tensor | undefined> {
    this.alive();
    const { cfg } = this.model;
    const { returnType = 'logits' } = request;
    if (returnType !== null && returnType !== 'logits' && returnType !== 'loss') {
      throw new MonosemError(
        'ERR_INVALID_ARGUMENT',
        `expected returnType to be "logits", "loss" or null, got ${JSON.stringify(returnType)}`,
      );
    }
    const tokens = input instanceof Tensor ? request.tokens : input;
    using frame = new Frame();
    const settled = { ...request, tokens };
    using hooks = this.hooks.begin(settled);
    const first = layerOf(request.startAtLayer ?? 0, cfg.nLayers, 'startAtLayer');
    const stop = request.stopAtLayer;
    const last = stop === undefined ? undefined : layerOf(stop, cfg.nLayers, 'stopAtLayer');
    const start = this.#start(input, first, frame);
    const place = this.#place(start, tokens, request, frame);
    const run: Run = {
      ...this.#core,
      hooks: request.observe?.(hooks) ?? hooks,
      place,
      signal: request.signal,
      keyValues: request.keyValues,
    };

    const goal = last ?? this.#goal(hooks, request.returnType);
    let residual = start;
    if (start.dtype === 'int32') {
      if (goal < 0) return undefined;
      residual = await embed(run, start, frame);
    }
    residual = await blocks(run, residual, first, Math.min(goal, cfg.nLayers), frame);
    if (tokens !== undefined) request.keyValues?.advance(tokens);
    let result: Tensor | undefined = residual;
    if (last === undefined) {
      result =
        goal > cfg.nLayers ? await this.#end(run, residual, request, tokens, frame) : undefined;
    } else if (residual === input) result = residual.clone();
    await fence(this.device);
    return result && hooks.release(frame.release(result));
  }

  /** The input on the device: token ids [b, p], or the residual itself. */
  #start(input: Tokens | Tensor, first: number, frame: Frame): Tensor {
    if (!(input instanceof Tensor)) {
      if (first > 0) {
        throw new MonosemError(
          'ERR_INVALID_ARGUMENT',
          `startAtLayer ${first} expects the residual that enters the layer, a Tensor [batch, pos, d_model]; got tokens`,
        );
      }
      return frame.own(Tensor.from(input.ids, input.shape, { device: this.device }));
    }
    const { dModel } = this.model.cfg;
    const { shape } = input;
    if ((shape.length !== 2 && shape.length !== 3) || shape.at(-1) !== dModel) {
      throw new MonosemError(
        'ERR_SHAPE',
        `a residual is [batch, pos, ${dModel}] (d_model), got [${shape}]`,
      );
    }
    return shape.length === 3 ? input : frame.own(input.reshape([1, ...shape]));
  }

  #place(start: Tensor, tokens: Tokens | undefined, request: RunRequest, frame: Frame): Place {
    const [batch, length] = start.shape as [number, number];
    const { cfg } = this.model;
    if (tokens !== undefined && (tokens.shape[0] !== batch || tokens.shape[1] !== length)) {
      throw new MonosemError(
        'ERR_SHAPE',
        `the residual has [${batch}, ${length}] places, its tokens [${tokens.shape}]`,
      );
    }
    const ids = tokens ?? { ids: new Int32Array(batch * length), shape: [batch, length] };
    const { positions, end, keyMask } = placeTokens(ids, request.keyValues);
    if (cfg.positions === 'learned' && end > cfg.nCtx) {
      throw new MonosemError(
        'ERR_INVALID_ARGUMENT',
        `${end} tokens do not fit: ${cfg.modelName} learned ${cfg.nCtx} positions; pass fewer tokens`,
      );
    }
    const { device } = this;
    const keys = (request.keyValues?.length ?? 0) + length;
    return {
      positions: frame.own(Tensor.from(positions, [batch, length], { device })),
      end,
      ...(keyMask && { keyMask: frame.own(Tensor.from(keyMask, [batch, keys], { device })) }),
      ...(tokens && { tokens }),
    };
  }

  /** How far a run without stopAtLayer goes, in blocks; n_layers + 1 or more: the end too, -1: nowhere. */
  #goal(hooks: HookRun, returnType: ReturnType | undefined): number {
    const { nLayers } = this.model.cfg;
    if (returnType !== null) return nLayers + 1;
    const { tokens, embed: embedded, posEmbed } = this.points.outside;
    const before = [tokens, embedded, posEmbed];
    let goal = -1;
    for (const name of hooks.listened()) {
      const layer = /^blocks\.(\d+)\./.exec(name)?.[1];
      if (layer !== undefined) goal = Math.max(goal, Number(layer) + 1);
      else if (before.some((early) => name.startsWith(early))) goal = Math.max(goal, 0);
      else goal = nLayers + 1;
    }
    return goal;
  }

  async #end(
    run: Run,
    residual: Tensor,
    { returnType = 'logits', onlyLast }: RunRequest,
    tokens: Tokens | undefined,
    frame: Frame,
  ): Promise<Tensor | undefined> {
    const { finalScale, finalNormalized, unembedIn, logits: logitsPoint } = this.points.outside;
    const listens = (name: string) => run.hooks.listens(name);
    const isWatched = [finalScale, finalNormalized, unembedIn, logitsPoint].some(listens);
    if (returnType === null && !listens(logitsPoint)) {
      await finalNorm(run, residual, frame);
      return undefined;
    }
    const isCut = onlyLast === true && !isWatched;
    const read = isCut ? frame.own(residual.slice(null, [-1])) : residual;
    const logits = await unembed(run, read, frame);
    if (returnType === null) return undefined;
    if (returnType === 'logits') return logits;
    if (tokens === undefined) {
      throw new MonosemError(
        'ERR_INVALID_ARGUMENT',
        "returnType 'loss' of a residual needs its tokens: pass them as `tokens`",
      );
    }
    return frame.own(nextTokenLoss(logits, tokens));
  }

  dispose(): void {
    this.#disposed = true;
    this.#rotary.dispose();
    for (const tensor of tensorsOf(this.model.weights)) tensor.dispose();
  }
}

/** A layer number, negatives from the end. */
function layerOf(layer: number, nLayers: number, what: string): number {
  const resolved = layer < 0 ? layer + nLayers : layer;
  if (!Number.isInteger(resolved) || resolved < 0 || resolved > nLayers) {
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      `${what} is a layer from 0 to ${nLayers} (negatives count from the end), got ${layer}`,
    );
  }
  return resolved;
}
