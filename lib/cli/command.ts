/** One command of `monosem`, as its file exports it. */
export interface Command {
  /** One line for the list of commands. */
  readonly summary: string;
  /** What `monosem COMMAND --help` prints. */
  readonly usage: string;
  /** The exit code: 0 done, 1 failed. Wrong use throws a UsageError, which exits with 2. */
  run(args: string[]): Promise<number>;
}

/** The command line itself is wrong: the message goes out with the command's usage, exit code 2. */
export class UsageError extends Error {}

/** A whole number from an option, at least `least`. */
export function wholeNumber(option: string, text: string, least: number): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < least) {
    throw new UsageError(`--${option} expects a whole number of at least ${least}, got "${text}"`);
  }
  return value;
}

/** A finite number from an option. */
export function finiteNumber(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) {
    throw new UsageError(`--${option} expects a number, got "${text}"`);
  }
  return value;
}

/** The one TEXT argument. */
export function oneText(positionals: readonly string[]): string {
  const [text, ...more] = positionals;
  if (text === undefined || text === '') throw new UsageError('expected a TEXT, quoted');
  if (more.length > 0) {
    throw new UsageError(`expected one TEXT, got ${positionals.length}; put it in quotes`);
  }
  return text;
}
