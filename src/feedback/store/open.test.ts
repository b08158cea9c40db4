import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { MIGRATIONS } from './migrations/index.ts';
import { openDatabase } from './open.ts';
import { openStore } from './store.ts';
import { refusalOf, testFolder } from './testing/index.ts';

const file = testFolder();

describe('openStore', () => {
  it('makes a file with the tables of the newest version, all strict', async () => {
    await using store = await openStore(file('new.sqlite'));
    const raw = new DatabaseSync(store.path, { readOnly: true });
    const tables = raw.prepare(
      "select name, strict from pragma_table_list where schema = 'main' and name not like 'sqlite%'",
    );
    const ours = tables.all().filter(({ name }) => !String(name).startsWith('kysely'));
    expect(ours.length).toBe(11);
    expect(ours.filter(({ strict }) => strict !== 1)).toEqual([]);
    const versions = raw.prepare('select name from kysely_migration order by name').all();
    expect(versions.map(({ name }) => name)).toEqual(Object.keys(MIGRATIONS));
    expect(raw.prepare('pragma journal_mode').get()).toEqual({ journal_mode: 'wal' });
    raw.close();
  });

  it('brings an older file to the newest version with all that is in it', async () => {
    const path = file('older.sqlite');
    const older = await openDatabase(path, '0001-records');
    const hash = (digit: string) => `'${digit.repeat(64)}'`;
    older.file.exec(`
      insert into projects values ('default', '2025-01-01T00:00:00.000Z');
      insert into prompts values (${hash('a')}, 'default', '"hello"', '{}', '2025-01-01T00:00:00.000Z');
      insert into completions (id, prompt, content, origin, extra, time)
        values (${hash('b')}, ${hash('a')}, '"one"', 'model', '{}', '2025-01-01T00:00:00.000Z'),
               (${hash('c')}, ${hash('a')}, '"two"', 'model', '{}', '2025-01-01T00:00:00.000Z');
      insert into tasks values (${hash('d')}, 'default', ${hash('a')}, '', '{}', '2025-01-01T00:00:00.000Z');
      insert into task_completions values (${hash('d')}, 0, ${hash('b')}), (${hash('d')}, 1, ${hash('c')});
      insert into labellers values (${hash('e')}, 'person', 'ann', '{}', '2025-01-01T00:00:00.000Z');
      insert into judgements (id, task, labeller, client_key, kind, ranks, none_good, flags, time)
        values (${hash('f')}, ${hash('d')}, ${hash('e')}, 'k', 'ranking', '[2,1]', 0, '[]', '2025-01-01T00:00:00.000Z');
    `);
    expect(older.file.value("select count(*) from sqlite_schema where name = 'snapshots'")).toBe(0);
    await older.db.destroy();
    await using store = await openStore(path);
    const [pair] = await store.preferences((await store.snapshot()).id);
    expect(pair).toMatchObject({ prompt: 'hello', chosen: 'two', rejected: 'one' });
  });

  it('leaves the file as it was where a migration fails', async () => {
    const path = file('failing.sqlite');
    const older = await openDatabase(path, '0001-records');
    // Something that the next migration stumbles over, after its first table.
    older.file.exec('create table snapshot_judgements (a text) strict');
    await older.db.destroy();
    const error = await refusalOf(openStore(path));
    expect(error).toMatchObject({ code: 'BAD_FILE', remedy: expect.stringMatching(/as it was/) });
    const raw = new DatabaseSync(path);
    expect(raw.prepare("select count(*) as n from sqlite_schema where name = 'snapshots'").get()).toEqual({ n: 0 });
    raw.close();
  });

  it('opens again and again, by many at once', async () => {
    const path = file('many.sqlite');
    const stores = await Promise.all(Array.from({ length: 5 }, () => openStore(path)));
    await Promise.all(stores.map((store, i) => store.addPrompt({ prompt: `prompt ${i}` })));
    expect(await stores[0]?.prompts()).toHaveLength(5);
    await Promise.all(stores.map((store) => store.close()));
    await stores[0]?.close();
  });

  it('refuses a file of a newer version', async () => {
    const path = file('newer.sqlite');
    await (await openStore(path)).close();
    const raw = new DatabaseSync(path);
    raw.exec("insert into kysely_migration values ('0999-future', '2030-01-01T00:00:00.000Z')");
    raw.close();
    expect(await refusalOf(openStore(path))).toMatchObject({
      code: 'BAD_FILE',
      path,
      expected: 'version 0002-snapshots or older',
      received: 'version 0999-future',
      remedy: expect.stringMatching(/Update Nudge/),
    });
  });

  it("refuses what is no SQLite file, and another program's", async () => {
    writeFileSync(file('text.sqlite'), 'This is a text that is longer than the header of a database file. '.repeat(50));
    expect(await refusalOf(openStore(file('text.sqlite')))).toMatchObject({
      code: 'BAD_FILE',
      path: file('text.sqlite'),
    });
    const raw = new DatabaseSync(file('other.sqlite'));
    raw.exec('create table notes (a)');
    raw.close();
    expect((await refusalOf(openStore(file('other.sqlite')))).message).toMatch(/another program's/);
    expect(await refusalOf(openStore(file('none/store.sqlite')))).toMatchObject({ code: 'IO_FAILED' });
  });

  it('says that a file is damaged, when it is opened or when the damage is met', async () => {
    const path = file('whole.sqlite');
    const store = await openStore(path);
    await store.addPrompts(Array.from({ length: 300 }, (_, i) => ({ prompt: `${i} ${'x'.repeat(500)}` })));
    await store.close();
    const bytes = readFileSync(path);
    copyFileSync(path, file('cut.sqlite'));
    writeFileSync(file('cut.sqlite'), bytes.subarray(0, 40_000));
    expect(await refusalOf(readAll(file('cut.sqlite')))).toMatchObject({ code: 'BAD_FILE' });
    writeFileSync(file('garbled.sqlite'), bytes.fill(0x5a, 4096 * 30, 4096 * 45));
    const error = await refusalOf(readAll(file('garbled.sqlite')));
    expect(error).toMatchObject({ code: 'BAD_FILE', remedy: expect.stringMatching(/backup/) });
  });
});

async function readAll(path: string): Promise<number> {
  const store = await openStore(path);
  try {
    const prompts = await store.prompts();
    const { ok } = await store.verify();
    if (!ok) throw new Error('damaged, and read all the same');
    return prompts.length;
  } finally {
    await store.close();
  }
}
