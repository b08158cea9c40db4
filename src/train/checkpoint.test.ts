import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { AdamW, type Parameter, parameter } from '../nn/index.ts';
import { type DType, torch } from '../tensor/index.ts';
import { Checkpoints, type Json } from './checkpoint.ts';
import { errorOf, temporaryDirectory } from './testing/index.ts';

/** Two weights under an optimiser; `step(i)` moves them by gradients that depend on i and on the weights. */
class Toy implements Disposable {
  readonly weights: [string, Parameter][];
  readonly adam: AdamW;

  constructor(dtype: DType = 'float32') {
    const draw = (seed: number) => torch.rand([5, 3], { generator: new torch.Generator({ seed }) }).to(dtype);
    this.weights = [
      ['layers.0.weight', parameter(draw(1))],
      ['bias/größe', parameter(draw(2))],
    ];
    this.adam = new AdamW(this.weights, { lr: 0.01 });
  }

  step(i: number): void {
    torch.scope(() => {
      this.adam.groups[0]!.lr = 0.01 / i;
      for (const [, weight] of this.weights) weight.grad = torch.noGrad(() => weight.mul(i).sin());
      this.adam.step();
    });
  }

  get contents() {
    return { tensors: { policy: this.weights }, optimizers: { policy: this.adam } };
  }

  /** Everything, by name. */
  get bytes(): Record<string, Uint8Array> {
    const all = [...this.weights, ...this.adam.stateDict().tensors];
    return Object.fromEntries(all.map(([name, tensor]) => [name, tensor.bytes()]));
  }

  [Symbol.dispose](): void {
    this.adam.dispose();
    for (const [, weight] of this.weights) weight.dispose();
  }
}

const stepsIn = (directory: string) =>
  readdirSync(directory)
    .filter((name) => name.startsWith('step-'))
    .map((name) => Number(name.slice(5)));

async function saveSteps(checkpoints: Checkpoints, steps: readonly (readonly [number, number | null])[]) {
  using toy = new Toy();
  for (const [step, score] of steps) await checkpoints.save(step, { ...toy.contents, state: { step } }, score);
}

describe('a checkpoint', () => {
  test.each(['float32', 'bfloat16'] as const)('gives weights and optimiser back bit for bit: %s', async (dtype) => {
    await using directory = await temporaryDirectory();
    const checkpoints = new Checkpoints(directory.path);
    using toy = new Toy(dtype);
    for (let i = 1; i <= 5; i++) toy.step(i);
    const state: Json = { epoch: 1, seen: [0.1, 1 / 3, 2 ** -1074], name: 'größe' };
    await checkpoints.save(5, { ...toy.contents, state });
    for (let i = 6; i <= 9; i++) toy.step(i);

    using other = new Toy(dtype);
    other.step(77);
    const found = (await checkpoints.latest())!;
    expect([found.step, found.score, found.state]).toEqual([5, null, state]);
    await found.restore(other.contents);
    expect(other.adam.groups[0]!.lr).toBe(0.01 / 5);
    for (let i = 6; i <= 9; i++) other.step(i);
    expect(other.bytes).toEqual(toy.bytes);
  });

  test('of something else is refused, and changes nothing', async () => {
    await using directory = await temporaryDirectory();
    const checkpoints = new Checkpoints(directory.path);
    await saveSteps(checkpoints, [[1, null]]);
    const found = (await checkpoints.latest())!;
    using toy = new Toy('bfloat16');
    const before = toy.bytes;
    const wrongType = await errorOf(() => found.restore(toy.contents));
    expect([wrongType.path, wrongType.expected, wrongType.received]).toEqual([
      'policy: layers.0.weight',
      'bfloat16 [5,3]',
      'float32 [5,3]',
    ]);
    expect((await errorOf(() => found.restore({ tensors: { policy: [] } }))).received).toBe('2 in the checkpoint');
    expect((await errorOf(() => found.restore({ optimizers: { value: toy.adam } }))).path).toBe('optimizer value');
    expect(toy.bytes).toEqual(before);
  });

  test('holds finite numbers only', async () => {
    await using directory = await temporaryDirectory();
    const error = await errorOf(() =>
      new Checkpoints(directory.path).save(1, { tensors: {}, state: { best: Number.POSITIVE_INFINITY } }),
    );
    expect([error.path, error.received]).toEqual(['best', 'Infinity']);
    expect(readdirSync(directory.path)).toEqual([]);
  });
});

describe('what is kept', () => {
  test('the last two, and the best', async () => {
    await using directory = await temporaryDirectory();
    const lower = new Checkpoints(join(directory.path, 'lower'));
    await saveSteps(lower, [[10, 3], [20, 1], [30, 1], [40, 2], [50, null]]); // biome-ignore format: pairs
    expect(stepsIn(lower.directory)).toEqual([20, 40, 50]);
    expect((await lower.best())!.step).toBe(20);
    const higher = new Checkpoints(join(directory.path, 'higher'), { best: 'max', keep: 1 });
    await saveSteps(higher, [[10, 0.5], [20, 0.9], [30, Number.NaN], [40, 0.7]]); // biome-ignore format: pairs
    expect(stepsIn(higher.directory)).toEqual([20, 40]);
    expect((await higher.latest())!.step).toBe(40);
  });

  test('nothing yet', async () => {
    await using directory = await temporaryDirectory();
    const checkpoints = new Checkpoints(join(directory.path, 'not', 'there'));
    expect(await checkpoints.latest()).toBeNull();
    expect(await checkpoints.best()).toBeNull();
  });

  test('a step is saved again over itself', async () => {
    await using directory = await temporaryDirectory();
    const checkpoints = new Checkpoints(directory.path);
    await saveSteps(checkpoints, [[10, 3], [10, 2]]); // biome-ignore format: pairs
    expect((await checkpoints.latest())!.score).toBe(2);
  });
});

describe('a damaged checkpoint is passed over with a note, and the one before serves', () => {
  const damages: [string, (path: string) => void, RegExp][] = [
    [
      'a flipped bit',
      (path) => {
        const file = join(path, 'policy.safetensors');
        const bytes = readFileSync(file);
        bytes[bytes.length - 3]! ^= 1;
        writeFileSync(file, bytes);
      },
      /policy\.safetensors is damaged/,
    ],
    [
      'a file cut short',
      (path) => truncateSync(join(path, 'optimizer.policy.safetensors'), 100),
      /optimizer\.policy\.safetensors has 100 bytes in place of \d+/,
    ],
    ['a file lost', (path) => rmSync(join(path, 'state.json')), /state\.json is missing/],
    ['no manifest', (path) => rmSync(join(path, 'checkpoint.json')), /has no checkpoint\.json/],
    ['an empty manifest', (path) => truncateSync(join(path, 'checkpoint.json'), 0), /checkpoint\.json is damaged/],
    [
      "a later version's",
      (path) => writeFileSync(join(path, 'checkpoint.json'), '{"version":2}'),
      /of version 2, and this program knows version 1/,
    ],
  ];

  test.each(damages)('%s', async (_name, damage, reason) => {
    await using directory = await temporaryDirectory();
    const notes: string[] = [];
    const checkpoints = new Checkpoints(directory.path, { onNote: (text) => notes.push(text) });
    await saveSteps(checkpoints, [[10, null], [20, null]]); // biome-ignore format: pairs
    damage(join(directory.path, 'step-00000020'));
    expect((await checkpoints.latest())!.step).toBe(10);
    expect(notes).toEqual([expect.stringMatching(reason)]);
    // The run goes on from 10. The damaged one must not push a whole one out, and its own step may be saved again.
    await saveSteps(checkpoints, [[15, null]]);
    expect(stepsIn(directory.path)).toEqual([10, 15]);
    await saveSteps(checkpoints, [[20, null]]);
    expect((await checkpoints.latest())!.step).toBe(20);
  });

  test('what a killed process left half-written is cleared away', async () => {
    await using directory = await temporaryDirectory();
    const checkpoints = new Checkpoints(directory.path);
    await saveSteps(checkpoints, [[10, null]]);
    for (const name of ['.saving-1-aa', '.removing-step-00000005-bb']) {
      mkdirSync(join(directory.path, name));
      writeFileSync(join(directory.path, name, 'policy.safetensors'), 'half');
    }
    expect((await checkpoints.latest())!.step).toBe(10);
    expect(readdirSync(directory.path)).toEqual(['step-00000010']);
  });
});

test('a full disk leaves the checkpoints before, and says what to do', async () => {
  await using directory = await temporaryDirectory();
  await saveSteps(new Checkpoints(directory.path), [[10, null]]);
  // A process that may write no more than 512 bytes into a file meets what a full disk is: a write that fails half-way.
  const script = `
    import { Checkpoints } from ${JSON.stringify(join(import.meta.dirname, 'checkpoint.ts'))};
    import { torch } from ${JSON.stringify(join(import.meta.dirname, '../tensor/index.ts'))};
    const contents = { tensors: { policy: [['weight', torch.zeros([100_000])]] }, state: null };
    try {
      await new Checkpoints(${JSON.stringify(directory.path)}).save(20, contents);
    } catch (error) {
      console.log(JSON.stringify(error));
    }`;
  const shell = 'ulimit -f 1; exec "$0" --input-type=module-typescript -e "$1"';
  const { stdout } = spawnSync('sh', ['-c', shell, process.execPath, script], { encoding: 'utf8' });
  expect(JSON.parse(stdout)).toMatchObject({
    code: 'DISK_FULL',
    received: expect.stringContaining('EFBIG'),
    remedy: expect.stringContaining('goes on from the last checkpoint'),
  });
  expect(readdirSync(directory.path)).toEqual(['step-00000010']);
  expect((await new Checkpoints(directory.path).latest())!.step).toBe(10);
  expect(existsSync(join(directory.path, 'step-00000020'))).toBe(false);
});
