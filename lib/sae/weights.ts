import type { Device } from '../device.js';
import { MonosemError } from '../error.js';
import { type DType, native } from '../native.js';
import { Tensor } from '../tensor.js';
import type { Weights } from './architectures/architecture.js';

/** What is known of a tensor before it is read. */
export interface TensorHeader {
  readonly shape: readonly number[];
  readonly dtype: string;
}

/**
 * Asserts that the tensors are those the architecture has, no more and no less. Throws ERR_FORMAT
 * naming what is missing or extra, ERR_SHAPE or ERR_DTYPE naming tensor, expected and given.
 */
export function checkWeights(
  architecture: string,
  expected: Readonly<Record<string, readonly number[]>>,
  given: ReadonlyMap<string, TensorHeader>,
): void {
  const names = Object.keys(expected);
  const missing = names.filter((name) => !given.has(name));
  const extra = [...given.keys()].filter((name) => !Object.hasOwn(expected, name));
  if (missing.length > 0 || extra.length > 0) {
    const parts = [
      missing.length > 0 ? `lack ${missing.join(', ')}` : '',
      extra.length > 0 ? `have ${extra.slice(0, 8).join(', ')}, which it does not use` : '',
    ];
    throw new MonosemError(
      'ERR_FORMAT',
      `a ${architecture} SAE has the tensors ${names.join(', ')}; the weights ${parts.filter(Boolean).join(' and ')}`,
    );
  }
  for (const [name, shape] of Object.entries(expected)) {
    const header = given.get(name) as TensorHeader;
    if (header.shape.length !== shape.length || shape.some((n, dim) => n !== header.shape[dim])) {
      throw new MonosemError(
        'ERR_SHAPE',
        `${name}: cfg.json's dimensions ask for [${shape}], the weights have [${header.shape}]`,
      );
    }
    if (!/^(b?float|F|BF)\d+$/.test(header.dtype)) {
      throw new MonosemError(
        'ERR_DTYPE',
        `${name}: expected floating-point numbers, the weights have ${header.dtype}`,
      );
    }
  }
}

/** Every tensor in one dtype on one device, as handles of their own: those that are so already share their memory. */
export function convertWeights(weights: Weights, dtype: DType, device: Device): Weights {
  return Object.fromEntries(
    Object.entries(weights).map(([name, tensor]) => {
      const fits = tensor.dtype === dtype && tensor.device === device;
      return [name, fits ? new Tensor(native.alias(tensor.handle)) : tensor.to({ dtype, device })];
    }),
  );
}

export function disposeWeights(weights: Weights): void {
  for (const tensor of Object.values(weights)) tensor.dispose();
}
