import { describe, expect, it } from 'vitest';
import { type Body, type Case, type Group, timed } from '../../bench/case.ts';
import { LocalSide, measureGroup, type Plan } from '../../bench/harness.ts';
import type { Peer } from '../../bench/peers/peer.ts';

const plan: Plan = { rounds: 3, blockMs: 10, warmUpMs: 20, pauseMs: 0 };

/** A body whose repetitions take as long as they say, without taking any time. */
function pretending(secondsOf: (call: number) => number, more: Partial<Body> = {}): Body & { asked: number[] } {
  let call = 0;
  const asked: number[] = [];
  return {
    asked,
    time(times) {
      asked.push(times);
      return secondsOf(call++) * times;
    },
    ...more,
  };
}

const peer = {} as Peer;

function caseOf(name: string, more: Partial<Case>): Case {
  const nudge = () => pretending(() => 1e-3);
  return { name, metric: 'time', unit: 'ms', better: 'lower', value: (s) => s * 1e3, nudge, ...more };
}

const groupOf = (...cases: Case[]): Group => ({ title: 'group', cases });

async function measureOne(more: Partial<Case>, withPeer: Peer | null = null) {
  const [result] = await measureGroup(groupOf(caseOf('one', more)), plan, withPeer, () => {});
  return result!;
}

describe('LocalSide', () => {
  it('cuts a block into about ten chunks of whole multiples', async () => {
    const body = pretending(() => 1e-6, { multiple: 100 });
    const side = new LocalSide(body);
    await side.warmUp(plan);
    body.asked.length = 0;
    expect(await side.block(plan)).toBeCloseTo(1e-6);
    expect(body.asked).toEqual(Array(10).fill(1000));
  });

  it('takes the median over the chunks: one interruption does not show', async () => {
    const body = pretending((call) => (call === 25 ? 1 : 1e-3));
    const side = new LocalSide(body);
    await side.warmUp(plan);
    expect(body.asked).toHaveLength(20);
    expect(await side.block(plan)).toBeCloseTo(1e-3);
    expect(body.asked.length).toBeGreaterThanOrEqual(23);
  });

  it.each([
    ['repeats slow work three times', 0.015, 3],
    ['does work that outlasts two blocks once', 0.5, 1],
  ])('%s', async (_, seconds, times) => {
    const body = pretending(() => seconds);
    const side = new LocalSide(body);
    await side.warmUp(plan);
    body.asked.length = 0;
    await side.block(plan);
    expect(body.asked).toEqual(Array(times).fill(1));
  });

  it('frees what the body made', async () => {
    let ended = 0;
    await new LocalSide(pretending(() => 1, { end: () => ended++ })).end();
    expect(ended).toBe(1);
  });
});

describe('measureGroup', () => {
  it('lets the sides take turns, in the other order every second round, and ends them', async () => {
    const events: string[] = [];
    const side = (name: string) => (): Body => ({
      time: (times) => {
        if (events.at(-1) !== name) events.push(name);
        return times;
      },
      end: () => events.push(`${name} ends`),
    });
    const limit = { body: side('limit'), value: (s: number) => s };
    await measureOne({ nudge: side('nudge'), peer: side('peer'), limit }, peer);
    // The warm-up, then three rounds.
    expect(events.join(', ')).toBe(
      'nudge, peer, limit, nudge, peer, limit, peer, nudge, peer, limit, nudge ends, peer ends, limit ends',
    );
  });

  it('gives medians, their spread and the ratios of neighbours', async () => {
    const rounds = [0.1, 0.2, 0.4];
    const slow = (): Body => pretending((call) => rounds[call - 1] ?? 0.1);
    const result = await measureOne({ nudge: slow, peer: () => pretending(() => 0.3) }, peer);
    expect(result.nudge).toBeCloseTo(200);
    expect(result.peer).toBeCloseTo(300);
    expect(result.spread.nudge).toBeCloseTo(1.5);
    expect(result.ratios!.low).toBeCloseTo(0.75);
    expect(result.ratios!.high).toBeCloseTo(3);
  });

  it('leaves out the side that is not there', async () => {
    const result = await measureOne({ peer: { work: 'add' } });
    expect(result).toMatchObject({ peer: null, limit: null, ratios: null, spread: { peer: null } });
  });

  it('finds a limit among the results of the group', async () => {
    const rate = (seconds: number): Partial<Case> => ({
      better: 'higher',
      value: (s) => 1 / s,
      nudge: () => pretending(() => seconds),
      limit: { among: (results) => Math.max(...results.map(({ nudge }) => nudge)) },
    });
    const results = await measureGroup(groupOf(caseOf('a', rate(0.5)), caseOf('b', rate(0.25))), plan, null, () => {});
    expect(results.map(({ limit }) => limit)).toEqual([4, 4]);
  });
});

describe('timed', () => {
  it('takes the time of the work', () => {
    let done = 0;
    const seconds = timed((times) => {
      done += times;
    }).time(7);
    expect(done).toBe(7);
    expect(seconds).toBeGreaterThanOrEqual(0);
  });
});
