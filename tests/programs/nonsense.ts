/** Calls every operator that is a method with arguments that mean nothing. Prints those that failed in a way of their own. */
import { Tensor, torch } from '../../src/tensor/index.ts';

torch.setNumThreads(1);
const methods = Object.entries(Object.getOwnPropertyDescriptors(Tensor.prototype))
  .filter(([, { value }]) => typeof value === 'function')
  .map(([name]) => name)
  .filter((name) => !/^(constructor|release|keep|dispose|expectShape)$/.test(name));
const selves = [() => torch.ones([4, 4]), () => torch.tensor([1n, 2n]), () => torch.eye(3).toSparse()];
const strange: string[] = [];
let calls = 0;

for (const name of methods) {
  for (const make of selves) {
    for (const args of [[], [0], [0, 1], ['sum'], [[1, 0]], [null], [make]]) {
      torch.scope(() => {
        try {
          calls++;
          const self = make() as unknown as Record<string, (...args: unknown[]) => unknown>;
          const results = [self[name]?.(...args)].flat();
          for (const result of results) if (result instanceof Tensor) String(result);
        } catch (error) {
          const { code, name: kind, message } = error as Error & { code?: string };
          if (code === undefined) strange.push(`${name}(${args.map(String)}): ${kind}: ${message}`);
        }
      });
    }
  }
}
console.log(JSON.stringify({ methods: methods.length, calls, strange, tensors: torch.memory().tensors }));
