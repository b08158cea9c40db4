import { describe, expect, it } from 'vitest';
import { constantSchedule, cosineSchedule, linearSchedule, type Schedule, setLr } from './schedules.ts';

const at = (schedule: Schedule, ...steps: number[]): number[] => steps.map((step) => Number(schedule(step).toFixed(6)));

describe('schedules', () => {
  it('holds a constant after the warm-up', () => {
    expect(at(constantSchedule(), 0, 1, 1000)).toEqual([1, 1, 1]);
    expect(at(constantSchedule({ warmupSteps: 4 }), 0, 1, 3, 4, 5)).toEqual([0, 0.25, 0.75, 1, 1]);
  });

  it('falls in a straight line to nothing, or to a share', () => {
    expect(at(linearSchedule({ totalSteps: 10 }), 0, 5, 9, 10, 11)).toEqual([1, 0.5, 0.1, 0, 0]);
    expect(at(linearSchedule({ warmupSteps: 2, totalSteps: 10 }), 0, 1, 2, 6, 10)).toEqual([0, 0.5, 1, 0.5, 0]);
    expect(at(linearSchedule({ totalSteps: 10, minRatio: 0.2 }), 0, 5, 10, 99)).toEqual([1, 0.6, 0.2, 0.2]);
  });

  it('falls along half a cosine and stays down', () => {
    const schedule = cosineSchedule({ warmupSteps: 2, totalSteps: 10 });
    // (1 + cos(pi/4)) / 2 = .853553
    expect(at(schedule, 0, 1, 2, 4, 6, 10, 14)).toEqual([0, 0.5, 1, 0.853553, 0.5, 0, 0]);
    expect(at(cosineSchedule({ totalSteps: 4, minRatio: 0.1 }), 0, 2, 4)).toEqual([1, 0.55, 0.1]);
  });

  it('refuses numbers that make no schedule, naming the argument', () => {
    expect(() => linearSchedule({ totalSteps: 5, warmupSteps: 6 })).toThrow(
      /linearSchedule\.warmupSteps[\s\S]*received: 6/,
    );
    expect(() => cosineSchedule({ totalSteps: 2.5 })).toThrow(/cosineSchedule\.totalSteps/);
    expect(() => cosineSchedule({ totalSteps: 5, minRatio: 2 })).toThrow(/minRatio/);
    expect(() => constantSchedule()(-1)).toThrow(/counts steps from 0/);
    expect(() => constantSchedule()(Number.NaN)).toThrow(/counts steps from 0/);
  });
});

describe('setLr', () => {
  it('scales one base rate, or one for each group', () => {
    const optimizer = { groups: [{ lr: 1 }, { lr: 1 }] };
    setLr(optimizer, 0.5, 0.5);
    expect(optimizer.groups.map(({ lr }) => lr)).toEqual([0.25, 0.25]);
    setLr(optimizer, [1, 10], 0.5);
    expect(optimizer.groups.map(({ lr }) => lr)).toEqual([0.5, 5]);
    expect(() => setLr(optimizer, [1], 1)).toThrow(/2 numbers/);
  });
});
