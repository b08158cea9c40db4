import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { timeless } from './testing/index.ts';
import { killAtRandom } from './testing/kill.ts';

function outcome(directory: string) {
  const read = (name: string) => readFileSync(join(directory, 'adapter', name));
  return {
    weights: read('adapter_model.safetensors'),
    config: read('adapter_config.json'),
    metrics: timeless(directory),
  };
}

test('kill -9 at any moment', { timeout: 120_000 }, async () => {
  const script = join(import.meta.dirname, 'testing/sft-child.ts');
  const { whole, broken, notes, last } = await killAtRandom(script, outcome);
  expect(whole.metrics.length).toBeGreaterThan(40);
  expect(broken).toEqual(whole);
  expect(last!.type).toBe('result');
  expect(notes.some((text) => text.startsWith('Going on from step'))).toBe(true);
});
