/** The numbers that PyTorch's generators give under a seed: the same here, call after call. */
import { test } from 'vitest';
import { Generator, type Tensor, torch } from '../../src/tensor/index.ts';
import { camelCase, decode, type Encoded, expectGolden, loadCases } from './load.ts';

interface Step {
  /** An ATen operator, or "save" and "restore" of the generator's state. */
  op: string;
  args: Encoded[];
  kwargs?: Record<string, Encoded>;
  out: Encoded;
}

interface Programme {
  name: string;
  seed: number;
  /** With a generator of its own, handed to every call; otherwise with the default one. */
  explicit: boolean;
  /** Draws with Intel's library where PyTorch is built with it. */
  mkl?: true;
  steps: Step[];
}

const programmes = loadCases<Programme>('random_numbers');
const { mkl } = torch.version();

for (const programme of programmes) {
  test(programme.name, ({ skip }) => {
    skip(programme.mkl === true && !mkl, 'MKL drew these numbers, and this libtorch is built without it');
    run(programme);
  });
}

function run({ seed, explicit, steps }: Programme): void {
  const generator = explicit ? new Generator({ seed }) : undefined;
  if (generator === undefined) torch.manualSeed(seed);
  let saved: Uint8Array = new Uint8Array();
  for (const { op, args, kwargs, out } of steps) {
    if (op === 'save') saved = generator?.getState() ?? torch.getRngState();
    else if (op === 'restore') generator === undefined ? torch.setRngState(saved) : generator.setState(saved);
    else {
      torch.scope(() => {
        const options = Object.entries(kwargs ?? {}).map(([key, value]) => [camelCase(key), decode(value)]);
        const given = { ...Object.fromEntries(options), ...(generator && { generator }) };
        const result = callByName(op.split('.')[0]!, args.map(decode), given);
        // float32 and wider: the logarithm and cosine of Box and Muller differ in the last bits between instruction sets
        expectGolden(result, out, { ulps: 1 });
      });
    }
  }
}

/** In-place operators are methods, the rest functions of `torch`. */
function callByName(name: string, args: unknown[], options: Record<string, unknown>): unknown {
  const inPlace = name.endsWith('_');
  const [owner, given] = inPlace ? [args[0] as Tensor, args.slice(1)] : [torch, args];
  const operator = (owner as unknown as Record<string, (...args: unknown[]) => unknown>)[camelCase(name)];
  if (operator === undefined) throw new TypeError(`there is no ${camelCase(name)}`);
  return operator.call(owner, ...given, ...(Object.keys(options).length > 0 ? [options] : []));
}
