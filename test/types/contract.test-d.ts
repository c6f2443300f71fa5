import { assertType, describe, expectTypeOf, test } from 'vitest';
import * as ours from '../../lib/index.js';
import type * as Contract from './contract.js';

/** A class's static side and, by its `prototype`, its instances; how it is constructed is our own affair. */
type Face<T> = { [K in keyof T]: T[K] };

/** Members of the contract's class that ours lacks, static and of instances. */
type Missing<Wanted extends { prototype: unknown }, Given extends { prototype: unknown }> =
  | Exclude<keyof Wanted, keyof Given>
  | Exclude<keyof Wanted['prototype'], keyof Given['prototype']>;

describe('the package fits the contract', () => {
  test('functions and tables', () => {
    assertType<typeof Contract.devices>(ours.devices);
    assertType<typeof Contract.registry>(ours.registry);
    assertType<typeof Contract.scope>(ours.scope);
  });
  test('errors', () => {
    assertType<Face<typeof Contract.MonosemError>>(ours.MonosemError);
  });
  test('tensors and sparse activations', () => {
    assertType<Face<typeof Contract.Tensor>>(ours.Tensor);
    assertType<Face<typeof Contract.FeatureActs>>(ours.FeatureActs);
    assertType<Face<typeof Contract.ActivationCache>>(ours.ActivationCache);
  });
});

// Hooks take and give our classes, which have private members: nothing declared elsewhere is assignable
// to them. programs.ts holds the arguments of these to the contract, by use.
describe('the package has every member of the contract', () => {
  test('SAE', () => {
    expectTypeOf<Missing<typeof Contract.SAE, typeof ours.SAE>>().toBeNever();
  });
  test('models', () => {
    type Hooked = Missing<typeof Contract.HookedTransformer, typeof ours.HookedTransformer>;
    type HookedSae = Missing<
      typeof Contract.HookedSAETransformer,
      typeof ours.HookedSAETransformer
    >;
    type Bridge = Missing<typeof Contract.SAETransformerBridge, typeof ours.SAETransformerBridge>;
    expectTypeOf<Hooked | HookedSae | Bridge>().toBeNever();
  });
  test('every name', () => {
    expectTypeOf<Exclude<keyof typeof Contract, keyof typeof ours>>().toBeNever();
  });
});
