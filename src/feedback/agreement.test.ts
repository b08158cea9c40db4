import { describe, expect, it } from 'vitest';
import { pairAgreement } from './agreement.ts';

describe('pairAgreement', () => {
  it('is the share of pairs that two labellers order alike', () => {
    // Three pairs each: the first two labellers differ in one, the third differs from the first in two and from the second in one.
    const task = [
      [1, 2, 3],
      [1, 3, 2],
      [2, 3, 1],
    ];
    expect(pairAgreement([task])).toEqual({ agreement: 5 / 9, pairs: 9 });
    expect(pairAgreement([task.slice(0, 2), task.slice(1)])).toEqual({ agreement: 4 / 6, pairs: 6 });
  });

  it('leaves out ties, and what was not ranked', () => {
    expect(
      pairAgreement([
        [
          [1, 1],
          [1, 2],
        ],
      ]),
    ).toEqual({ agreement: null, pairs: 0 });
    expect(
      pairAgreement([
        [
          [1, null, 2],
          [1, 2, 3],
        ],
      ]),
    ).toEqual({ agreement: 1, pairs: 1 });
    // Who ranked nothing says nothing, first or last.
    expect(pairAgreement([[[], [1, 2], [1, 2]]])).toEqual({ agreement: 1, pairs: 1 });
    expect(pairAgreement([[[1, 2]], []])).toEqual({ agreement: null, pairs: 0 });
  });
});
