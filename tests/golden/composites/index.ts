import type { Tensor } from '../../../src/tensor/index.ts';
import * as autograd from './autograd.ts';
import type { Inputs } from './inputs.ts';
import * as layers from './layers.ts';
import * as losses from './losses.ts';
import * as policy from './policy.ts';

/** Every composite by its name, in camelCase. */
export const composites = { ...layers, ...losses, ...policy, ...autograd } as Record<
  string,
  (inputs: Inputs<string>) => Tensor | Tensor[]
>;
