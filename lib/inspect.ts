import { MonosemError } from './error.js';

const custom = Symbol.for('nodejs.util.inspect.custom');

/**
 * What console.log says of a class whose state is native: one line. Set outside of the class, so that its
 * types need none of Node's.
 */
export function inspectAs<T extends object>(
  type: { readonly name: string; readonly prototype: T },
  describe: (value: T) => string,
): void {
  const value = function (this: T): string {
    try {
      return `${this.constructor.name} ${describe(this)}`;
    } catch (error) {
      if (error instanceof MonosemError && error.code === 'ERR_DISPOSED') {
        return `${this.constructor.name} (disposed)`;
      }
      throw error;
    }
  };
  Object.defineProperty(type.prototype, custom, { value });
}
