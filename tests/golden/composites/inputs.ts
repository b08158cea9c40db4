import type { Tensor } from '../../../src/tensor/index.ts';

/** A composite's inputs by name. */
export type Inputs<Names extends string> = Readonly<Record<Names, Tensor>>;
