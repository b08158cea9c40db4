import { describe, expect, test } from 'vitest';
import { NudgeError } from '../errors.ts';
import { Guard } from './guard.ts';

const rows = () => 'rows 4, 17';

function failureOf(run: () => void): NudgeError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(NudgeError);
    return error as NudgeError;
  }
  throw new Error('the guard saw nothing');
}

/** A guard that has seen `steps` good steps. */
function calm(steps = 30): Guard {
  const guard = new Guard();
  for (let step = 1; step <= steps; step++) guard.check(step, { loss: 2 - step / 100, gradNorm: 1 + (step % 3) }, rows);
  return guard;
}

describe('a number that is not finite', () => {
  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('%d stops the run at once', (value) => {
    const error = failureOf(() => calm().check(31, { loss: value, gradNorm: 1 }, rows));
    expect(error.code).toBe('TRAINING_DIVERGED');
    expect(error.path).toBe('step 31, rows 4, 17');
    expect(error.received).toBe(`loss ${value}`);
    expect(error.expected).toBe('finite numbers; the last good ones: loss 1.72, 1.71, 1.7; gradNorm 2, 3, 1');
    expect(error.remedy).toContain('learning rate');
  });

  test('in any metric, and in the very first step, whose remedy is another', () => {
    const error = failureOf(() => new Guard().check(1, { loss: 2, klPerToken: Number.NaN }, rows));
    expect(error.received).toBe('klPerToken NaN');
    expect(error.remedy).toContain('from the beginning');
  });
});

describe('an explosion', () => {
  test('one spike passes, five in a row stop the run', () => {
    const guard = calm();
    guard.check(31, { loss: 50, gradNorm: 1 }, rows);
    guard.check(32, { loss: 1.7, gradNorm: 1 }, rows);
    for (let step = 33; step <= 36; step++) guard.check(step, { loss: 50, gradNorm: 1 }, rows);
    const error = failureOf(() => guard.check(37, { loss: 60, gradNorm: 1 }, rows));
    expect(error.code).toBe('TRAINING_DIVERGED');
    expect(error.message).toContain('loss explodes');
    expect(error.received).toMatch(/^60; 5 steps in a row above 18/);
  });

  test('of the gradient', () => {
    const guard = calm();
    for (let step = 31; step <= 34; step++) guard.check(step, { loss: 1.7, gradNorm: 5000 }, rows);
    expect(failureOf(() => guard.check(35, { loss: 1.7, gradNorm: 5000 }, rows)).message).toContain(
      'gradNorm explodes',
    );
  });

  test('a loss near zero may grow tenfold: it must also gain a whole nat', () => {
    const guard = new Guard();
    for (let step = 1; step <= 30; step++) guard.check(step, { loss: 0.001 }, rows);
    for (let step = 31; step <= 60; step++) guard.check(step, { loss: 0.5 }, rows);
  });

  test('nothing is judged before there is something to compare with', () => {
    const guard = calm(5);
    for (let step = 6; step <= 15; step++) guard.check(step, { loss: 1000 }, rows);
  });
});

test('a resumed guard judges as one that never stopped', () => {
  const guard = calm();
  for (let step = 31; step <= 34; step++) guard.check(step, { loss: 50 }, rows);
  const resumed = new Guard();
  resumed.restore(JSON.parse(JSON.stringify(guard.state())));
  expect(resumed.state()).toEqual(guard.state());
  expect(failureOf(() => resumed.check(35, { loss: 50 }, rows)).message).toContain('loss explodes');
});
