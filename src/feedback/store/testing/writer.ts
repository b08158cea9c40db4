/**
 * A process of its own that judges tasks one by one and says each judgement's id once it is stored.
 *
 *     node writer.ts STORE LABELLER COUNT
 */
import { writeSync } from 'node:fs';
import { openStore } from '../store.ts';

const [path, name, count] = process.argv.slice(2) as [string, string, string];
const store = await openStore(path);
const labeller = await store.addLabeller({ kind: 'person', name });
for (let i = 0; i < Number(count); i++) {
  const task = await store.addTask({ prompt: `prompt ${i}`, completions: ['a', 'b', 'c'] });
  await store.recordDisplay({ task: task.id, labeller: labeller.id });
  const sent = { task: task.id, labeller: labeller.id, ranks: [1 + (i % 3), 2, 3], clientKey: `click ${i}` };
  const { id } = await store.submitJudgement(sent);
  // Past all buffers: what is printed here was acknowledged.
  writeSync(1, `${id}\n`);
}
await store.close();
