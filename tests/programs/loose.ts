/** Makes tensors outside every scope: 5,000 that nothing holds, then 6,000 that something does. Prints what became of them. */
import { setTimeout } from 'node:timers/promises';
import { torch } from '../../src/tensor/index.ts';

const warnings: string[] = [];
process.on('warning', (warning) => warnings.push(warning.name));

const collect = globalThis.gc as () => void;
for (let i = 0; i < 5000; i++) torch.ones([1]);
const made = torch.memory();
for (let i = 0; i < 50 && torch.memory().tensors > 0; i++) {
  collect();
  await setTimeout(1);
}
const collected = torch.memory();

const held = Array.from({ length: 11_000 }, () => torch.ones([1]));
const holding = torch.memory();
await setTimeout(1);
const warnedOnce = [...warnings];
for (const tensor of held) tensor.dispose();
const again = Array.from({ length: 11_000 }, () => torch.ones([1]));
await setTimeout(1);
const disposed = torch.memory().tensors - again.length;

console.log(JSON.stringify({ made, collected, holding, warnedOnce, warnings, disposed }));
