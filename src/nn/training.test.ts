import { describe, expect, it } from 'vitest';
import { type Tensor, torch } from '../tensor/index.ts';
import { CheckpointTape } from './checkpoint.ts';
import { Linear } from './layers/linear.ts';
import { Module } from './module.ts';
import { AdamW } from './optim/adamw.ts';
import { clipGradNorm } from './optim/clip.ts';
import { cosineSchedule, setLr } from './optim/schedules.ts';

class Perceptron extends Module {
  readonly hidden: Linear;
  readonly out: Linear;

  constructor(inputs: number, width: number, classes: number) {
    super();
    this.hidden = new Linear(inputs, width);
    this.out = new Linear(width, classes);
  }

  forward(x: Tensor): Tensor {
    return this.out.forward(this.hidden.forward(x).tanh()); // [B, classes]
  }
}

/** Two arms of a spiral, a turn and a half each: [N, 2] points, [N] classes. */
function spiral(pointsPerArm: number): { x: Tensor; y: Tensor } {
  const points = [0, 1].flatMap((arm) =>
    Array.from({ length: pointsPerArm }, (_, i) => {
      const radius = (i + 1) / pointsPerArm;
      const angle = 3 * Math.PI * radius + Math.PI * arm;
      return [radius * Math.cos(angle), radius * Math.sin(angle)];
    }),
  );
  const classes = [0, 1].flatMap((arm) => Array<number>(pointsPerArm).fill(arm));
  return { x: torch.tensor(points).keep(), y: torch.tensor(classes, { dtype: 'int64' }).keep() };
}

describe('training', () => {
  it('learns to tell the arms of a spiral apart', () => {
    torch.manualSeed(0);
    const { x, y } = spiral(100);
    const accuracy = (model: Perceptron): number =>
      torch.scope(() => model.forward(x).argmax(-1).eq(y).float().mean().item());
    const model = new Perceptron(2, 64, 2);
    const before = accuracy(model);
    const optimizer = new AdamW(model.parameters(), { weightDecay: 0 });
    const schedule = cosineSchedule({ warmupSteps: 20, totalSteps: 800 });
    for (let step = 0; step < 800; step++) {
      setLr(optimizer, 0.03, schedule(step));
      torch.scope(() => torch.crossEntropyLoss(model.forward(x), y).backward());
      clipGradNorm(model.parameters(), 1);
      optimizer.step();
      optimizer.zeroGrad();
    }
    expect(before).toBeLessThan(0.8);
    expect(accuracy(model)).toBeGreaterThan(0.95);
  });

  it('keeps live tensors flat over 50 steps, of which some throw in the middle', () => {
    const { x, y } = spiral(8);
    const model = new Perceptron(2, 8, 2);
    const optimizer = new AdamW(model.parameters());
    const step = (failAt: 'nowhere' | 'forward' | 'replay' | 'after backward'): void => {
      using tape = new CheckpointTape();
      let calls = 0;
      torch.scope(() => {
        const hidden = tape.run((x) => model.hidden.forward(x), x); // [B, width]
        const logits = tape.run((hidden) => {
          calls += 1;
          if (failAt === 'forward' || (failAt === 'replay' && calls === 2)) throw new Error('made to fail');
          return model.out.forward(hidden.tanh());
        }, hidden); // [B, classes]
        tape.backward(torch.crossEntropyLoss(logits, y));
        if (failAt === 'after backward') throw new Error('made to fail');
        clipGradNorm(model.parameters(), 1);
        optimizer.step();
      });
      optimizer.zeroGrad();
    };
    step('nowhere');
    const { tensors, bytes } = torch.memory();
    for (let i = 0; i < 50; i++) {
      const failAt = (['nowhere', 'forward', 'replay', 'after backward'] as const)[i % 4]!;
      if (failAt === 'nowhere') step(failAt);
      else expect(() => step(failAt)).toThrow('made to fail');
      expect(torch.memory()).toMatchObject({ tensors, bytes });
    }
  });
});
