/**
 * A small language model trained for 50 steps. scripts/golden/transformer.py is the same programme; keep the two alike, line by line.
 *
 * The forward pass uses plain operators; optimiser, clipping and schedule are src/nn's.
 */
import { AdamW, clipGradNorm, cosineSchedule, type Parameter, parameter, setLr } from '../../src/nn/index.ts';
import { type Tensor, torch } from '../../src/tensor/index.ts';
import { hashed, uniform } from './hashing.ts';

const [VOCABULARY, WIDTH, LAYERS, HEADS, KV_HEADS, HIDDEN] = [256, 64, 2, 4, 2, 128];
const [BATCH, LENGTH, STEPS, WARMUP] = [8, 32, 50, 5];
const [LEARNING_RATE, EPS, WEIGHT_DECAY, MAX_NORM] = [3e-3, 1e-8, 0.1, 1];
const BETAS: [number, number] = [0.9, 0.95];

export interface Point {
  loss: number;
  /** Of all gradients, before clipping. */
  norm: number;
  lr: number;
}

/** By name: `embedding`, `norm`, `0.query`, ... */
type Parameters = Readonly<Record<string, Parameter>>;

function makeParameters(): Parameters {
  const keyWidth = (WIDTH / HEADS) * KV_HEADS;
  const weight = (stream: number, ...shape: number[]): Parameter => parameter(uniform(stream, ...shape));
  const norm = (): Parameter => parameter(torch.ones([WIDTH]));
  const parameters: Record<string, Parameter> = { embedding: weight(0, VOCABULARY, WIDTH), norm: norm() };
  for (let layer = 0; layer < LAYERS; layer++) {
    const matrices = {
      query: [WIDTH, WIDTH],
      key: [keyWidth, WIDTH],
      value: [keyWidth, WIDTH],
      output: [WIDTH, WIDTH],
      gate: [HIDDEN, WIDTH],
      up: [HIDDEN, WIDTH],
      down: [WIDTH, HIDDEN],
    };
    for (const [i, [name, shape]] of Object.entries(matrices).entries()) {
      parameters[`${layer}.${name}`] = weight(10 * (layer + 1) + i + 1, ...shape);
    }
    for (const name of ['attentionNorm', 'feedForwardNorm']) parameters[`${layer}.${name}`] = norm();
  }
  return parameters;
}

/** [B, T + 1] token ids. Each row follows next = 5 * token + 1 (mod 17) from a hashed start, which a model learns in a few steps. */
function makeBatch(step: number): Tensor {
  let token = torch.tensor([...hashed(1000 + step, BATCH)], { dtype: 'int64' }).remainder(17); // [B]
  const columns: Tensor[] = [];
  for (let column = 0; column <= LENGTH; column++) {
    columns.push(token);
    token = token.mul(5).add(1).remainder(17); // [B]
  }
  return torch.stack(columns, 1); // [B, T + 1]
}

function rotate(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
  const [first, second] = x.chunk(2, -1) as [Tensor, Tensor]; // each [B, H, T, D / 2]
  return x.mul(cos).add(torch.cat([second.neg(), first], -1).mul(sin));
}

function attend(x: Tensor, p: Parameters, layer: number, cos: Tensor, sin: Tensor): Tensor {
  const heads = (name: string, count: number): Tensor =>
    torch.linear(x, p[`${layer}.${name}`]!).view([BATCH, LENGTH, count, -1]).transpose(1, 2); // [B, H, T, D]
  const [query, key] = [rotate(heads('query', HEADS), cos, sin), rotate(heads('key', KV_HEADS), cos, sin)];
  const mixed = torch.scaledDotProductAttention(query, key, heads('value', KV_HEADS), {
    isCausal: true,
    enableGqa: true,
  });
  return torch.linear(mixed.transpose(1, 2).reshape([BATCH, LENGTH, WIDTH]), p[`${layer}.output`]!);
}

function feedForward(x: Tensor, p: Parameters, layer: number): Tensor {
  const gated = torch.silu(torch.linear(x, p[`${layer}.gate`]!)).mul(torch.linear(x, p[`${layer}.up`]!));
  return torch.linear(gated, p[`${layer}.down`]!);
}

function lossOf(p: Parameters, tokens: Tensor): Tensor {
  const half = WIDTH / HEADS / 2;
  const frequencies = torch.pow(10000, torch.arange(half, { dtype: 'float32' }).div(-half));
  const angles = torch.outer(torch.arange(LENGTH, { dtype: 'float32' }), frequencies).repeat([1, 2]); // [T, D]
  const [cos, sin] = [angles.cos(), angles.sin()];
  const norm = (x: Tensor, name: string): Tensor => torch.rmsNorm(x, [WIDTH], p[name]!, 1e-6);
  let x = torch.embedding(p.embedding!, tokens.narrow(1, 0, LENGTH)); // [B, T, D]
  for (let layer = 0; layer < LAYERS; layer++) {
    x = x.add(attend(norm(x, `${layer}.attentionNorm`), p, layer, cos, sin));
    x = x.add(feedForward(norm(x, `${layer}.feedForwardNorm`), p, layer));
  }
  const logits = torch.linear(norm(x, 'norm'), p.embedding!); // [B, T, V]
  return torch.crossEntropyLoss(logits.flatten(0, 1), tokens.narrow(1, 1, LENGTH).flatten());
}

/** The curve of all 50 steps. */
export function train(): Point[] {
  const parameters = makeParameters();
  const config = { lr: LEARNING_RATE, betas: BETAS, eps: EPS, weightDecay: WEIGHT_DECAY };
  using optimizer = new AdamW(Object.values(parameters), config);
  const schedule = cosineSchedule({ warmupSteps: WARMUP, totalSteps: STEPS });
  const curve: Point[] = [];
  for (let step = 0; step < STEPS; step++) {
    torch.scope(() => {
      setLr(optimizer, LEARNING_RATE, schedule(step));
      const loss = lossOf(parameters, makeBatch(step));
      optimizer.zeroGrad();
      loss.backward();
      const norm = clipGradNorm(Object.values(parameters), MAX_NORM);
      curve.push({ loss: loss.item(), norm, lr: optimizer.groups[0]!.lr });
      optimizer.step();
    });
  }
  for (const weight of Object.values(parameters)) weight.dispose();
  return curve;
}
