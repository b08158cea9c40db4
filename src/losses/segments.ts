/**
 * Sequences of flat tokens: [N] values that belong to S sequences, one after the other, `lengths[s]` tokens each. There is no
 * padding, so there is no mask: what a mask would leave out is not there.
 */
import { NudgeError } from '../errors.ts';
import { type Device, type Tensor, torch } from '../tensor/index.ts';

/** Tokens a sequence, positive integers in the order of the tokens. */
export type Lengths = readonly number[];

/** The sum over each sequence: [N] -> [S], differentiable. */
export function segmentSums(values: Tensor, lengths: Lengths): Tensor {
  checkLengths(lengths, values.shape, 'segmentSums');
  return torch.segmentReduce(values, 'sum', { lengths: counts(lengths, values.device), unsafe: true }); // [S]
}

/** The mean over each sequence: [N] -> [S], differentiable. */
export function segmentMeans(values: Tensor, lengths: Lengths): Tensor {
  return segmentSums(values, lengths).div(counts(lengths, values.device)); // [S]
}

/** Each sequence's value at every one of its tokens: [S] -> [N], differentiable. */
export function expandSegments(perSequence: Tensor, lengths: Lengths): Tensor {
  perSequence.expectShape([lengths.length], 'the values of the sequences');
  return perSequence.repeatInterleave(counts(lengths, perSequence.device)); // [N]
}

/** Where each sequence begins: the cumulative sum of the lengths before it. */
export function segmentStarts(lengths: Lengths): number[] {
  let start = 0;
  return lengths.map((length) => {
    start += length;
    return start - length;
  });
}

/** @throws NudgeError `SHAPE_MISMATCH` where the lengths are not positive integers that add up to the number of tokens. */
export function checkLengths(lengths: Lengths, shape: readonly number[], where: string): void {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const whole = lengths.every((length) => Number.isSafeInteger(length) && length > 0);
  if (whole && shape.length === 1 && shape[0] === total) return;
  throw new NudgeError('SHAPE_MISMATCH', 'The lengths of the sequences do not fit the tokens.', {
    path: where,
    expected: 'one value a token, and positive lengths that add up to their number',
    received: `[${shape.join(', ')}] values, ${lengths.length} lengths that add up to ${total}`,
    remedy: 'Give the tokens of all sequences one after the other, and leave empty sequences out.',
  });
}

function counts(lengths: Lengths, device: Device): Tensor {
  return torch.tensor(lengths, { dtype: 'int64', device }); // [S]
}
