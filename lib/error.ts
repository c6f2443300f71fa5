/** The kinds of failure this package throws on purpose; stable, for programs to branch on. */
export type ErrorCode =
  | 'ERR_SHAPE'
  | 'ERR_DTYPE'
  | 'ERR_DEVICE'
  | 'ERR_DISPOSED'
  | 'ERR_OUT_OF_MEMORY'
  | 'ERR_ABORTED'
  | 'ERR_NOT_FOUND'
  | 'ERR_GATED'
  | 'ERR_OFFLINE'
  | 'ERR_NETWORK'
  | 'ERR_INTEGRITY'
  | 'ERR_FORMAT'
  | 'ERR_UNSAFE_PICKLE'
  | 'ERR_UNSUPPORTED'
  | 'ERR_HOOK'
  | 'ERR_TOKENIZER'
  | 'ERR_INVALID_ARGUMENT'
  | 'ERR_INTERNAL';

/**
 * Every error this package throws on purpose, from TypeScript and from native code alike. The message
 * says what was expected, what was given, and what to do.
 */
export class MonosemError extends Error {
  override readonly name = 'MonosemError';
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
