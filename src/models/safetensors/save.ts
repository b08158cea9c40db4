/** Saving tensors. Only their types come from libtorch's side, so this file costs nothing to import. */

import { NudgeError } from '../../errors.ts';
import type { Tensor } from '../../tensor/index.ts';
import { quote } from '../files/index.ts';
import { safetensorsDtype } from './format.ts';
import type { RawTensor } from './layout.ts';
import { type SaveOptions, writeSafetensors } from './write.ts';

/**
 * Saves tensors as `path`, or as shards beside it (`model-00001-of-00003.safetensors`, ..., and
 * `model.safetensors.index.json`) when they exceed `maxShardBytes`.
 *
 * - A crash leaves the old model or the new one; while shards are replaced, for a moment, neither: then opening the
 *   directory fails, it never mixes the two. Data is on the disk before any name changes, so this holds for power cuts too.
 * - One tensor at a time is copied out of libtorch. Do not change the tensors until the promise settles.
 * - Views and transposed tensors are stored contiguously. Tensors that share memory, such as tied embeddings, are stored
 *   once for each name: leave one of them out if the loader ties them again.
 * - Needs free space for the whole model, also when it replaces one.
 *
 * @param path ends in `.safetensors`; its directory exists.
 * @returns the paths written, the index last.
 * @throws NudgeError FILE_EXISTS without `overwrite`, BAD_ARGUMENT for a tensor, name or option that cannot be stored,
 * IO_FAILED when the disk refuses. Nothing is left behind.
 */
export async function saveSafetensors(
  path: string,
  tensors: Readonly<Record<string, Tensor>> | ReadonlyMap<string, Tensor>,
  options: SaveOptions = {},
): Promise<string[]> {
  const entries = tensors instanceof Map ? tensors.entries() : Object.entries(tensors as Record<string, Tensor>);
  return await writeSafetensors(
    path,
    Iterator.from(entries).map(([name, tensor]) => [name, rawTensor(name, tensor)] as const),
    options,
  );
}

function rawTensor(name: string, tensor: Tensor): RawTensor {
  const dtype = safetensorsDtype(tensor.dtype);
  if (dtype === undefined) {
    throw new NudgeError('DTYPE_MISMATCH', 'The safetensors format has no such dtype.', {
      path: quote(name),
      received: tensor.dtype,
      remedy: 'Convert the tensor first: complex128 with torch.viewAsReal, a quantised one with dequantize().',
    });
  }
  return { dtype, shape: tensor.shape, bytes: () => tensor.bytes() };
}
