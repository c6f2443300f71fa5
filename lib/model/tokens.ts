import { MonosemError } from '../error.js';

/** Token ids with the mask of real tokens (1; pads are 0). Without a mask every token is real. */
export interface Tokens {
  readonly ids: Int32Array;
  readonly shape: readonly [batch: number, pos: number];
  readonly mask?: Uint8Array;
}

/** Rows of ids as one batch: shorter ones are padded on the given side, and the mask says where. */
export function packTokens(
  rows: readonly ArrayLike<number>[],
  padId: number,
  side: 'left' | 'right',
): Tokens {
  if (rows.length === 0) {
    throw new MonosemError('ERR_INVALID_ARGUMENT', 'expected at least one text, got an empty list');
  }
  const length = rows.reduce((longest, row) => Math.max(longest, row.length), 0);
  const ids = new Int32Array(rows.length * length).fill(padId);
  const mask = new Uint8Array(ids.length);
  rows.forEach((row, i) => {
    const start = i * length + (side === 'left' ? length - row.length : 0);
    ids.set(row, start);
    mask.fill(1, start, start + row.length);
  });
  const shape = [rows.length, length] as const;
  return rows.every((row) => row.length === length) ? { ids, shape } : { ids, shape, mask };
}

/** The rows of a batch, without their pads. */
export function realRows({ ids, shape: [batch, length], mask }: Tokens): Int32Array[] {
  return Array.from({ length: batch }, (_, row) => {
    const at = row * length;
    const whole = ids.subarray(at, at + length);
    return mask === undefined ? whole : whole.filter((_id, i) => mask[at + i] !== 0);
  });
}

/**
 * Tokens that a caller gave, checked: a shape that fits, whole ids inside the vocabulary, at least one.
 * @throws ERR_SHAPE, ERR_INVALID_ARGUMENT
 */
export function checkTokens(tokens: Tokens, dVocab: number): Tokens {
  const { ids, shape, mask } = tokens;
  const [batch, length] = shape;
  if (shape.length !== 2 || ids.length !== batch * length || ids.length === 0) {
    throw new MonosemError(
      'ERR_SHAPE',
      `expected token ids of shape [batch, pos] with at least one token, got ${ids.length} ids and shape [${shape}]`,
    );
  }
  if (mask !== undefined && mask.length !== ids.length) {
    throw new MonosemError(
      'ERR_SHAPE',
      `expected one mask entry per token (${ids.length}), got ${mask.length}`,
    );
  }
  const strange = ids.findIndex((id) => id < 0 || id >= dVocab);
  if (strange >= 0) {
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      `token ${ids[strange]} at [${Math.floor(strange / length)}, ${strange % length}] is not in the vocabulary of ${dVocab} tokens; tokenise with this model's tokenizer`,
    );
  }
  return tokens;
}

/** Ids of numbers: ERR_INVALID_ARGUMENT for anything but whole numbers. */
export function tokenRow(row: ArrayLike<number>): Int32Array {
  const ids = Int32Array.from(row);
  const strange = ids.findIndex((id, i) => id !== row[i]);
  if (strange >= 0) {
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      `expected token ids to be whole numbers, got ${String(row[strange])} at ${strange}`,
    );
  }
  return ids;
}

/** Where each token of a forward stands, given what came before. */
export interface Placement {
  /** [b * p]: the token's number among the real ones of its row; 0 for pads before them. */
  readonly positions: Int32Array;
  /** One more than the largest position. */
  readonly end: number;
  /** [b * s] over old and new positions; absent unless a pad stands before a real token. */
  readonly keyMask?: Int32Array;
  /** [b * p], of the new tokens, when there are pads. */
  readonly mask?: Uint8Array;
}

interface Past {
  readonly length: number;
  readonly realCounts: Int32Array;
  readonly masks: readonly Uint8Array[];
}

/**
 * Positions count real tokens only, so padding on the left changes nothing. Pads on the right need no
 * mask: causality keeps them from the real tokens.
 */
export function placeTokens(tokens: Tokens, past?: Past): Placement {
  const [batch, length] = tokens.shape;
  const before = past?.length ?? 0;
  const positions = new Int32Array(batch * length);
  const keyMask = new Int32Array(batch * (before + length));
  let end = 0;
  let isBlocked = false;
  for (let row = 0; row < batch; row++) {
    let real = before > 0 ? (past?.realCounts[row] ?? 0) : 0;
    let sawPad = false;
    const keys = keyMask.subarray(row * (before + length), (row + 1) * (before + length));
    if (before > 0) keys.set(past?.masks[row] ?? []);
    for (let i = 0; i < before; i++) sawPad ||= keys[i] === 0;
    for (let i = 0; i < length; i++) {
      const at = row * length + i;
      const isReal = tokens.mask === undefined || tokens.mask[at] !== 0;
      if (isReal) real += 1;
      positions[at] = Math.max(0, real - 1);
      keys[before + i] = isReal ? 1 : 0;
      isBlocked ||= isReal && sawPad;
      sawPad ||= !isReal;
      end = Math.max(end, real);
    }
  }
  return {
    positions,
    end: Math.max(1, end),
    ...(isBlocked && { keyMask }),
    ...(tokens.mask && { mask: tokens.mask }),
  };
}
