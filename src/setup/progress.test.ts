import { describe, expect, test } from 'vitest';
import { Progress, seconds, size } from './progress.mjs';

/** A sink that keeps what it gets, and a clock that the test sets. */
function recorded(isTTY: boolean, columns = 80) {
  const state = { text: '', now: 0 };
  const sink = { write: (text: string) => (state.text += text), isTTY, columns };
  return { state, progress: new Progress(sink, () => state.now) };
}

describe('in a log', () => {
  test('a step has a line at its begin and its end, and one every 15 s between', () => {
    const { state, progress } = recorded(false);
    progress.plan(2);
    progress.begin('addon');
    for (state.now = 0; state.now <= 20_000; state.now += 1000) progress.update('compiling', state.now / 40_000);
    progress.end('the addon is built');
    expect(state.text).toBe(
      '[1/2] addon\n[1/2] addon: compiling, 15 s, about 25 s left\n[1/2] the addon is built (21 s)\n',
    );
  });

  test('the time that is left counts from the begin of the phase', () => {
    const { state, progress } = recorded(false);
    progress.begin('libtorch');
    state.now = 100_000;
    progress.update('fetching', 1);
    state.text = '';
    state.now = 110_000;
    progress.update('unpacking', 0);
    state.now = 130_000;
    progress.update('unpacking', 0.5);
    expect(state.text).toBe('- libtorch: unpacking, 2 min 10 s, about 20 s left\n');
  });
});

describe('on a terminal', () => {
  test('one line updates itself and never wraps', () => {
    const { state, progress } = recorded(true, 30);
    progress.plan(1);
    progress.begin('libtorch');
    state.now = 1000;
    progress.update('fetching torch 2.13.0: 10 MB of 187 MB', 0.5);
    progress.stop();
    expect(state.text).not.toContain('\n');
    for (const line of state.text.split('\r\x1b[2K')) expect(line.length).toBeLessThan(30);
  });

  test('a note stays above the line', () => {
    const { state, progress } = recorded(true);
    progress.plan(2);
    progress.begin('libtorch');
    progress.note('Skipping an old one.');
    progress.stop();
    expect(state.text).toContain('\r\x1b[2KSkipping an old one.\n\r\x1b[2K[1/2] libtorch');
  });
});

test('sizes and times are short', () => {
  expect([size(187_300_000), size(2.53e9)]).toEqual(['187 MB', '2.5 GB']);
  expect([seconds(420), seconds(12_400), seconds(125_000)]).toEqual(['0.4 s', '12 s', '2 min 5 s']);
});
