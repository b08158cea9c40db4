/** Scopes, tensors made and freed, data on its way in and out. */

import { torch } from '../../src/tensor/index.ts';
import { type Case, type Group, timed } from '../case.ts';
import { CALLS_A_SCOPE, copying, free, inScopes, ones } from './bodies.ts';
import { callCase, microseconds } from './dispatch.ts';

const emptyScope: Case = {
  name: 'empty scope',
  metric: 'time to open and close',
  unit: 'us',
  better: 'lower',
  value: microseconds,
  nudge: () => {
    const nothing = (): void => {};
    return timed((times) => {
      for (let i = 0; i < times; i++) torch.scope(nothing);
    });
  },
};

const create = callCase({
  name: 'empty 4x4, freed',
  nudge: () => {
    const size = [4, 4];
    return inScopes(() => {
      for (let i = 0; i < CALLS_A_SCOPE; i++) torch.empty(size).dispose();
    }, []);
  },
  peer: { work: 'create', arguments: { size: [4, 4] } },
  alone: () => ({ calls: [['aten::empty.memory_format', [4, 4]]], inputs: [] }),
});

const LARGE = 16_000_000;
const largeRate = (seconds: number): number => (8 * LARGE) / seconds / 1e9;

/** Activations of this size come and go in every training step. Half of the work, or more, can be getting the memory. */
const largeResult: Case = {
  name: 'x + 1 over 64 MB',
  metric: 'rate, read and written',
  unit: 'GB/s',
  better: 'higher',
  value: largeRate,
  nudge: () => {
    const x = ones([LARGE]);
    const work = (times: number): void => {
      for (let i = 0; i < times; i++) torch.scope(() => void x.add(1));
    };
    return timed(work, { end: () => free([x]) });
  },
  peer: { work: 'add_number', arguments: { elements: LARGE } },
  limit: {
    body: () => {
      const [x, result] = [ones([LARGE]), ones([LARGE])];
      const work = (times: number): void => {
        for (let i = 0; i < times; i++) torch.add(x, 1, { out: result });
      };
      return timed(work, { end: () => free([x, result]) });
    },
    value: largeRate,
  },
};

const ELEMENTS = 1_000_000;
const gigabytesPerSecond = (seconds: number): number => (4 * ELEMENTS) / seconds / 1e9;

function transferCase(name: string, nudge: Case['nudge'], work: string): Case {
  return {
    name,
    metric: 'rate',
    unit: 'GB/s',
    better: 'higher',
    value: gigabytesPerSecond,
    nudge,
    peer: { work, arguments: { elements: ELEMENTS } },
    limit: { body: copying(ELEMENTS), value: gigabytesPerSecond },
  };
}

const dataIn = transferCase(
  'Float32Array to tensor, 4 MB',
  () => {
    const array = new Float32Array(ELEMENTS).fill(1);
    const take = (): void => void torch.tensor(array);
    return timed((times) => {
      for (let i = 0; i < times; i++) torch.scope(take);
    });
  },
  'data_in',
);

const dataOut = transferCase(
  'tensor to Float32Array, 4 MB',
  () => {
    const tensor = torch.ones([ELEMENTS]).keep();
    const work = (times: number): void => {
      for (let i = 0; i < times; i++) tensor.data();
    };
    return timed(work, { end: () => free([tensor]) });
  },
  'data_out',
);

export const memory: Group = { title: 'Memory and data', cases: [emptyScope, create, largeResult, dataIn, dataOut] };
