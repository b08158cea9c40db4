/** What the tests of this folder share. Nothing here is part of the library. */
import { expect } from 'vitest';
import { type Tensor, torch } from '../tensor/index.ts';

torch.setNumThreads(1);

/** float64: fixtures are then compared to more digits than float32 has. */
export function double(values: number | readonly number[]): Tensor {
  return torch.tensor(values, { dtype: 'float64' });
}

/** Numbers between -1 and 1 that look random and are the same everywhere. */
export function drawn(seed: number, shape: readonly number[]): Tensor {
  const generator = new torch.Generator({ seed });
  return torch.rand(shape, { generator, dtype: 'float64' }).mul(2).sub(1); // shape
}

/**
 * Compares the gradient of a scalar function with central differences, element by element, in float64.
 *
 * @param points float64 leaves; the function must be smooth around them.
 */
export function expectTrueGradient(fn: (...points: Tensor[]) => Tensor, points: readonly Tensor[], step = 1e-6): void {
  torch.scope(() => {
    const leaves = points.map((point) => point.detach().clone().requiresGrad_());
    const gradients = torch.grad(fn(...leaves), leaves); // as the points
    for (const [i, point] of points.entries()) {
      const numerical = Float64Array.from({ length: point.numel() }, (_, element) => {
        const [up, down] = [step, -step].map((by) => {
          const moved = points.map((other) => other.detach().clone());
          moved[i]!.reshape([-1]).at(element).add_(by);
          return torch.noGrad(() => fn(...moved)).item();
        });
        return (up! - down!) / (2 * step);
      });
      // Differences of float64 lose half the digits; 1e-6 of a gradient of order 1 leaves no room for a wrong formula.
      expect(gradients[i]!).toBeCloseToTensor(torch.fromTypedArray(numerical, point.shape), { rtol: 1e-6, atol: 1e-6 });
    }
  });
}

/** That a loss reads these tensors as constants: no gradient reaches them, though they ask for one. */
export function expectConstants(loss: (...constants: Tensor[]) => Tensor, values: readonly Tensor[]): void {
  torch.scope(() => {
    const leaves = values.map((value) => value.detach().clone().requiresGrad_());
    const gradients = torch.grad(loss(...leaves).sum(), leaves, { allowUnused: true }); // as the values
    expect(gradients.map((gradient) => gradient?.tolist() ?? null)).toEqual(values.map(() => null));
  });
}

// ---- a bandit whose optimum is known: one prompt, a few answers of one token ----

export interface Bandit {
  readonly ref: readonly number[];
  readonly rewards: readonly number[];
  readonly beta: number;
}

/** π* below is (.085073, .173439, .314304, .427184). */
export const BANDIT: Bandit = { ref: [0.4, 0.3, 0.2, 0.1], rewards: [0, 1, 2, 3], beta: 1 };

export interface BanditState {
  readonly policy: readonly number[];
  /** E r. */
  readonly reward: number;
  /** KL(π || ref), nats. */
  readonly kl: number;
  /** J = E r - β KL. */
  readonly objective: number;
}

export function banditState({ ref, rewards, beta }: Bandit, policy: readonly number[]): BanditState {
  const reward = policy.reduce((sum, p, arm) => sum + p * rewards[arm]!, 0);
  const kl = policy.reduce((sum, p, arm) => sum + (p === 0 ? 0 : p * Math.log(p / ref[arm]!)), 0);
  return { policy, reward, kl, objective: reward - beta * kl };
}

/** What every KL-regularised method should reach: π* = ref e^{r/β} / Z, where J* = β log Z. */
export function banditOptimum(bandit: Bandit): BanditState & { readonly normaliser: number } {
  const tilted = bandit.ref.map((p, arm) => p * Math.exp(bandit.rewards[arm]! / bandit.beta));
  const normaliser = tilted.reduce((sum, p) => sum + p, 0);
  const policy = tilted.map((p) => p / normaliser);
  return { ...banditState(bandit, policy), normaliser };
}

/** Every group of k independent draws from a policy, with its probability: for expectations without sampling. */
export function* groupsOf(
  policy: readonly number[],
  k: number,
): Generator<{ readonly arms: readonly number[]; readonly probability: number }> {
  if (k === 0) {
    yield { arms: [], probability: 1 };
    return;
  }
  for (const { arms, probability } of groupsOf(policy, k - 1)) {
    for (const [arm, p] of policy.entries()) yield { arms: [...arms, arm], probability: probability * p };
  }
}

/** Follows the gradient of a loss over the arms' logits, from the reference: where a method settles. */
export function settle(
  bandit: Bandit,
  loss: (logProbs: Tensor) => Tensor,
  options: { steps: number; rate: number },
): number[] {
  const logits = double(bandit.ref).log().requiresGrad_(); // [arms]
  for (let step = 0; step < options.steps; step++) {
    torch.scope(() => {
      const [slope] = torch.grad(loss(logits.logSoftmax(-1)), [logits]); // [arms]
      torch.noGrad(() => logits.sub_(slope.mul(options.rate)));
    });
  }
  return torch.noGrad(() => logits.softmax(-1)).tolist() as number[];
}

/** Standard normal numbers from uniform ones, two at a time (Box and Muller): [count]. */
export function gaussians(seed: number, shape: readonly number[]): Tensor {
  const generator = new torch.Generator({ seed });
  return torch.randn(shape, { generator, dtype: 'float64' }); // shape
}
