import { describe, expect, it } from 'vitest';
import { errorOf } from '../../tests/support/errors.ts';
import { atCaller, callerOf } from './caller.ts';
import { torch } from './index.ts';

const here = import.meta.dirname;
const stack = (...frames: string[]): string =>
  ['Error: message', ...frames.map((frame) => `    at ${frame}`)].join('\n');

describe('the caller on a stack', () => {
  it.each<[string, string, string | undefined]>([
    ['a function', 'train (/home/me/train.ts:3:7)', '/home/me/train.ts:3:7'],
    ['a module', 'file:///home/me/train.ts:3:7', 'file:///home/me/train.ts:3:7'],
    ['an async function', 'async train (file:///home/me/train.ts:3:7)', 'file:///home/me/train.ts:3:7'],
    ['an async module', 'async file:///home/me/train.ts:3:7', 'file:///home/me/train.ts:3:7'],
    ['a constructor', 'new Model (file:///home/me/model.ts:3:7)', 'file:///home/me/model.ts:3:7'],
    ['a method with an alias', 'Model.go [as forward] (/home/me/model.ts:3:7)', '/home/me/model.ts:3:7'],
    ['Windows', 'train (C:\\Users\\me\\train.ts:3:7)', 'C:\\Users\\me\\train.ts:3:7'],
    [
      'a folder with parentheses',
      'train (file:///home/me/project%20(copy)/train.ts:3:7)',
      'file:///home/me/project%20(copy)/train.ts:3:7',
    ],
    ['a folder with a space', 'train (/home/me/my project/train.ts:3:7)', '/home/me/my project/train.ts:3:7'],
    ['Node itself', 'listOnTimeout (node:internal/timers:588:17)', undefined],
    ['nothing but a name', 'Array.map (<anonymous>)', undefined],
    ['a native frame', 'Reflect.apply (native)', undefined],
  ])('is found: %s', (_, frame, expected) => {
    expect(callerOf(stack(frame))).toBe(expected);
  });

  it('is the first place outside this folder, whose tests count as outside', () => {
    expect(
      callerOf(
        stack(
          `Tensor.add (file://${here}/tensor.ts:1:1)`,
          `f (${here}/invoke.ts:2:2)`,
          'g (/me.ts:3:3)',
          'h (/you.ts:4:4)',
        ),
      ),
    ).toBe('/me.ts:3:3');
    expect(callerOf(stack(`Tensor.add (${here}/tensor.ts:1:1)`, `t (${here}/scope.test.ts:2:2)`))).toBe(
      `${here}/scope.test.ts:2:2`,
    );
    expect(callerOf(stack(`Tensor.add (${here}/tensor.ts:1:1)`))).toBeUndefined();
  });

  it('may be missing with its stack', () => {
    expect(callerOf(undefined)).toBeUndefined();
    expect(callerOf('')).toBeUndefined();
    const bare = Object.assign(new Error('bare'), { stack: undefined });
    expect(atCaller(bare as unknown as Error).message).toBe('bare');
  });

  it('survives a prepareStackTrace that makes something else of stacks', () => {
    const before = Error.prepareStackTrace;
    Error.prepareStackTrace = (_, sites) => sites;
    try {
      const error = errorOf(() => torch.scope(() => torch.ones([2]).add(torch.ones([3]))));
      expect(error.message).toMatch(/^aten::add\.Tensor: The size of tensor a/);
      expect(errorOf(() => torch.zeros(['2'] as never)).code).toBe('OPERATOR_ARGUMENT');
    } finally {
      Error.prepareStackTrace = before;
    }
  });
});
