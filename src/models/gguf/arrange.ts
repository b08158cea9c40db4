/** Elements between GGUF's arrangement and transformers', see names.ts. */

import { NudgeError } from '../../errors.ts';
import { type Tensor, torch } from '../../tensor/index.ts';
import { quote } from '../files/index.ts';
import type { Arrangement } from './names.ts';

/** How many heads the rows of q (and of the fused q, k, v) and of k belong to. */
export interface Heads {
  readonly q: number;
  readonly k: number;
}

/** A new tensor in transformers' arrangement; the same object where nothing changes. */
export function toHfArrangement(name: string, tensor: Tensor, arrangement: Arrangement, heads: Heads): Tensor {
  return rearrange(name, tensor, arrangement, heads, 'hf');
}

/** The reverse. */
export function toGgufArrangement(name: string, tensor: Tensor, arrangement: Arrangement, heads: Heads): Tensor {
  return rearrange(name, tensor, arrangement, heads, 'gguf');
}

function rearrange(name: string, tensor: Tensor, arrangement: Arrangement, heads: Heads, to: 'hf' | 'gguf'): Tensor {
  if (arrangement === 'same') return tensor;
  const rows = tensor.size(0);
  const rest = tensor.shape.slice(1);
  const swapped = (sizes: number[], first: number) =>
    torch.noGrad(() =>
      torch.scope(() =>
        tensor
          .view([...sizes, ...rest])
          .transpose(first, first + 1)
          .reshape(tensor.shape),
      ),
    );
  if (arrangement === 'transposed') {
    checkRows(name, tensor.ndim === 2, tensor, 'a matrix');
    return torch.noGrad(() => torch.scope(() => tensor.t().contiguous()));
  }
  if (arrangement === 'qkv') {
    checkRows(name, rows % (3 * heads.q) === 0, tensor, `rows for q, k and v of ${heads.q} heads`);
    const size = rows / (3 * heads.q);
    return swapped(to === 'hf' ? [3, heads.q, size] : [heads.q, 3, size], 0);
  }
  const count = heads[arrangement];
  checkRows(name, rows % (2 * count) === 0, tensor, `an even number of rows for each of ${count} heads`);
  const half = rows / count / 2;
  return swapped(to === 'hf' ? [count, half, 2] : [count, 2, half], 1);
}

function checkRows(name: string, holds: boolean, tensor: Tensor, expected: string): void {
  if (holds) return;
  throw new NudgeError('BAD_FILE', 'This tensor does not fit the number of heads.', {
    path: quote(name),
    expected,
    received: `shape [${tensor.shape.join(', ')}]`,
    remedy: 'Check that the weights and the config belong to the same model.',
  });
}
