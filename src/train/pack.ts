/** Sequences as the flat tokens that models see. */
import { type CausalModel, PackedAttention } from '../models/index.ts';
import { type Device, type Tensor, torch } from '../tensor/index.ts';
import { fingerprint } from './session.ts';

/** Sequences one after the other; none attends to another. */
export interface Packed {
  readonly ids: Tensor; // [N]
  readonly context: PackedAttention;
}

/** The tensors belong to the calling scope. */
export function packSequences(sequences: readonly (readonly number[])[], device: Device): Packed {
  const lengths = sequences.map(({ length }) => length);
  return { ids: int64(sequences.flat(), device), context: new PackedAttention(lengths, { device }) };
}

/** Whole numbers as int64: [values.length]. */
export function int64(values: readonly number[], device: Device): Tensor {
  const tensor = torch.fromTypedArray(BigInt64Array.from(values, BigInt), [values.length]); // [values.length]
  return device === 'cpu' ? tensor : tensor.to(device);
}

/**
 * Stands for a model in a run's `inputs`: its configuration, and a sample of all weights but those that are trained, which change
 * as the run goes on.
 */
export function modelFingerprint(model: CausalModel, trained: Iterable<Tensor>): string {
  const skip = new Set(trained);
  const samples = [...model.namedParameters()]
    .filter(([, parameter]) => !skip.has(parameter))
    .map(([name, parameter]) => {
      const sample = torch.scope(() =>
        parameter.detach().flatten().narrow(0, 0, Math.min(256, parameter.numel())).bytes(),
      );
      return [name, parameter.dtype, parameter.shape, Buffer.from(sample).toString('base64')];
    });
  return fingerprint(model.config.json, samples);
}
