import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openStore } from './store.ts';
import { testFolder } from './testing/index.ts';

const file = testFolder();
const WRITER = fileURLToPath(new URL('testing/writer.ts', import.meta.url));

function write(path: string, labeller: string, count: number): ChildProcessByStdio<null, Readable, null> {
  return spawn(process.execPath, [WRITER, path, labeller, String(count)], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** The ids that the process acknowledges; it is killed once there are `killAfter` of them. */
async function acknowledged(writer: ReturnType<typeof write>, killAfter = Number.POSITIVE_INFINITY): Promise<string[]> {
  const ids: string[] = [];
  const end = once(writer, 'exit');
  for await (const line of createInterface({ input: writer.stdout })) {
    ids.push(line);
    if (ids.length === killAfter) writer.kill('SIGKILL');
  }
  const [code, signal] = await end;
  expect(signal ?? code).toBe(killAfter === Number.POSITIVE_INFINITY ? 0 : 'SIGKILL');
  // The last line may be cut by the kill; an id that is whole was acknowledged.
  return ids.filter((id) => id.length === 64);
}

describe('several processes', () => {
  it('make and write one file at the same time, and lose nothing', async () => {
    const path = file('shared.sqlite');
    const said = await Promise.all(['ann', 'ben', 'cleo'].map((name) => acknowledged(write(path, name, 40))));
    expect(said.map((ids) => ids.length)).toEqual([40, 40, 40]);
    await using store = await openStore(path);
    const { judgements } = await store.lineage((await store.snapshot()).id);
    expect(judgements).toEqual(said.flat().sort());
    expect(await store.summary()).toMatchObject({ prompts: 40, tasks: 40, rankings: 120, labellers: 3 });
    expect(await store.verify()).toMatchObject({ ok: true });
  });

  it('that send the same judgement store it once', async () => {
    const path = file('doubled.sqlite');
    const [first, second] = await Promise.all(
      [write(path, 'ann', 30), write(path, 'ann', 30)].map((one) => acknowledged(one)),
    );
    expect(second).toEqual(first);
    await using store = await openStore(path);
    expect(await store.summary()).toMatchObject({ rankings: 30 });
  });

  it('that are killed lose no judgement that was acknowledged', async () => {
    const path = file('killed.sqlite');
    const said = new Set<string>();
    // The writer begins anew each time: what it sent before is found by its key, what was cut short is sent again.
    for (const killAfter of [3, 17, 40]) {
      for (const id of await acknowledged(write(path, 'ann', 1000), killAfter)) said.add(id);
      await using store = await openStore(path);
      const stored = (await store.lineage((await store.snapshot()).id)).judgements;
      expect([...said].filter((id) => !stored.includes(id))).toEqual([]);
      expect(await store.verify()).toMatchObject({ ok: true });
    }
    expect(said.size).toBeGreaterThanOrEqual(40);
  });
});
