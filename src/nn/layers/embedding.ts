import { type Tensor, torch } from '../../tensor/index.ts';
import { normal_ } from '../init.ts';
import { Module } from '../module.ts';
import { type Parameter, parameter } from '../parameter.ts';
import { type LayerOptions, randomOptions, tensorOptions } from './options.ts';

/** A table of vectors looked up by id: int64 [...] -> [..., dimension]. Rows start at N(0, 1), as in torch.nn.Embedding. */
export class Embedding extends Module {
  readonly weight: Parameter; // [count, dimension]

  constructor(count: number, dimension: number, options: LayerOptions = {}) {
    super();
    this.weight = parameter(torch.empty([count, dimension], tensorOptions(options))); // [count, dimension]
    if (options.init !== 'none') normal_(this.weight, 0, 1, randomOptions(options));
  }

  forward(ids: Tensor): Tensor {
    return torch.embedding(this.weight, ids); // [..., dimension]
  }
}
