/** `nudge bench ops`: single operators, against PyTorch from Python and against what the machine allows. */

import type { Bench } from '../case.ts';
import { dispatch } from './dispatch.ts';
import { memory } from './memory.ts';
import { optimiser } from './optimiser.ts';
import { products } from './products.ts';
import { startup } from './startup.ts';

export const ops: Bench = { name: 'ops', groups: [dispatch, products, optimiser, memory, startup] };
