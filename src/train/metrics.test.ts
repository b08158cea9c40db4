import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MetricsLog, readMetrics } from './metrics.ts';
import { errorOf, temporaryDirectory } from './testing/index.ts';

const stepsOf = (directory: string) => readMetrics(directory).map(({ step, metrics }) => [step, metrics]);

function write(directory: string, steps: readonly number[], resumeAt: number | null): void {
  const log = MetricsLog.open(directory, { resumeAt });
  for (const step of steps) log.write(step, { loss: 10 / step });
  log.flush();
  log.close();
}

test('a line a step, with its time', async () => {
  await using directory = await temporaryDirectory();
  const before = Date.now() / 1000;
  write(directory.path, [1, 2], null);
  expect(stepsOf(directory.path)).toEqual([[1, { loss: 10 }], [2, { loss: 5 }]]); // biome-ignore format: pairs
  for (const { time } of readMetrics(directory.path)) {
    expect(time).toBeGreaterThanOrEqual(before);
    expect(time).toBeLessThanOrEqual(Date.now() / 1000);
  }
  const [line] = readFileSync(join(directory.path, 'metrics.jsonl'), 'utf8').split('\n');
  expect(JSON.parse(line!)).toEqual({ step: 1, time: expect.any(Number), loss: 10 });
  expect(readdirSync(join(directory.path, 'tensorboard'))).toHaveLength(1);
});

test('a resumed run drops what was written after its checkpoint, and a line that was being written', async () => {
  await using directory = await temporaryDirectory();
  write(directory.path, [1, 2, 3, 4], null);
  appendFileSync(join(directory.path, 'metrics.jsonl'), '{"step":5,"ti');
  expect(stepsOf(directory.path).map(([step]) => step)).toEqual([1, 2, 3, 4]);
  write(directory.path, [3, 4, 5], 2);
  expect(stepsOf(directory.path).map(([step]) => step)).toEqual([1, 2, 3, 4, 5]);
  expect(readdirSync(join(directory.path, 'tensorboard'))).toHaveLength(2);
  // Killed before its first checkpoint, it begins anew.
  write(directory.path, [1], null);
  expect(stepsOf(directory.path).map(([step]) => step)).toEqual([1]);
});

test('numbers that are not finite are written as words, and read as numbers', async () => {
  await using directory = await temporaryDirectory();
  const values = { loss: Number.NaN, norm: Number.POSITIVE_INFINITY, least: Number.NEGATIVE_INFINITY, best: 0.1 };
  const log = MetricsLog.open(directory.path, { resumeAt: null });
  log.write(7, values);
  log.close();
  expect(readFileSync(join(directory.path, 'metrics.jsonl'), 'utf8')).toContain(
    '"loss":"NaN","norm":"Infinity","least":"-Infinity","best":0.1',
  );
  expect(stepsOf(directory.path)).toEqual([[7, values]]);
});

test('what is no log is refused with its line; the names of the line itself are taken', async () => {
  await using directory = await temporaryDirectory();
  expect(readMetrics(directory.path)).toEqual([]);
  writeFileSync(join(directory.path, 'metrics.jsonl'), '{"step":1,"time":2}\nhello\n');
  const error = await errorOf(() => MetricsLog.open(directory.path, { resumeAt: 1 }));
  expect([error.code, error.path]).toEqual(['BAD_FILE', join(directory.path, 'metrics.jsonl:2')]);
  writeFileSync(join(directory.path, 'metrics.jsonl'), '');
  const log = MetricsLog.open(directory.path, { resumeAt: null, tensorboard: false });
  expect((await errorOf(() => log.write(1, { time: 3 }))).message).toContain('cannot be called time');
  log.close();
  expect(readdirSync(directory.path)).toEqual(['metrics.jsonl']);
});
