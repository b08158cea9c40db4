/** The preference store: one SQLite file, to which records are added and in which none is ever changed. */
import type { PreferenceRecord, RankingRecord, UnpairedRecord } from '../../data/index.ts';
import { type AssignOptions, assignTask } from './assign.ts';
import { backUp } from './backup.ts';
import { addCompletion, addPrompt, addTask, asPrompt, type Db, readCompletions, readTasks } from './contents.ts';
import { type PreferenceOptions, toPreferences, toRankings, toUnpaired } from './derive.ts';
import {
  asJudgement,
  readJudgement,
  recordDisplay,
  type Submitted,
  standingJudgement,
  submitJudgement,
} from './judgements.ts';
import { addLabeller, appendEvent, readLabeller, readLabellers } from './labellers.ts';
import { type Opened, openDatabase } from './open.ts';
import type {
  Completion,
  Display,
  Judgement,
  Labeller,
  NewCompletion,
  NewDisplay,
  NewJudgement,
  NewLabeller,
  NewPrompt,
  NewTask,
  Origin,
  Prompt,
  Snapshot,
  SnapshotFilter,
  Task,
} from './records.ts';
import {
  type JudgedTask,
  judgedTasks,
  type Lineage,
  lineageOf,
  readSnapshot,
  readSnapshots,
  takeSnapshot,
} from './snapshots.ts';
import { type StoreSummary, summarise } from './summary.ts';
import { type Verification, verify } from './verify.ts';

export interface StoreOptions {
  /** The clock, for tests. Default: the system's. */
  now?: () => Date;
}

/**
 * Opens the store, makes it where there is none, and brings an older one to the newest version.
 *
 *     await using store = await openStore('preferences.sqlite');
 *
 * Several processes may have it open. Writes wait up to 10 s for each other. What a call has returned is on the disk.
 *
 * @param path of the file (`FILE-wal` and `FILE-shm` stand beside it while it is open), or `:memory:`.
 * @throws NudgeError BAD_FILE where it is damaged, another program's, or of a newer version; IO_FAILED; STORE_BUSY.
 */
export async function openStore(path: string, options: StoreOptions = {}): Promise<PreferenceStore> {
  return new PreferenceStore(await openDatabase(path), options.now ?? (() => new Date()));
}

export class PreferenceStore {
  readonly path: string;
  readonly #opened: Opened;
  readonly #now: () => Date;
  #last = 0;

  /** @internal use openStore. */
  constructor(opened: Opened, now: () => Date) {
    this.path = opened.file.path;
    this.#opened = opened;
    this.#now = now;
  }

  /** Adds a prompt to a project; the same prompt again is the same row. */
  async addPrompt(prompt: NewPrompt): Promise<Prompt> {
    return (await this.addPrompts([prompt]))[0] as Prompt;
  }

  /** Adds prompts in one transaction. */
  async addPrompts(prompts: readonly NewPrompt[]): Promise<Prompt[]> {
    return await this.#write(async (db) => {
      const stored: Prompt[] = [];
      for (const prompt of prompts) stored.push(await addPrompt(db, prompt, this.#time()));
      return stored;
    });
  }

  /** The prompts of a project, oldest first. */
  async prompts(project = 'default'): Promise<Prompt[]> {
    const query = this.#db.selectFrom('prompts').selectAll().where('project', '=', project);
    return (await query.orderBy('time').orderBy('id').execute()).map(asPrompt);
  }

  /** Adds a completion that is not, or not yet, part of a task. @param prompt the prompt's id. */
  async addCompletion(prompt: string, completion: NewCompletion): Promise<Completion> {
    return (await this.addCompletions([{ prompt, completion }]))[0] as Completion;
  }

  /** Adds completions in one transaction. */
  async addCompletions(
    completions: readonly { readonly prompt: string; readonly completion: NewCompletion }[],
  ): Promise<Completion[]> {
    return await this.#write(async (db) => {
      const stored: Completion[] = [];
      for (const { prompt, completion } of completions) {
        stored.push(await addCompletion(db, prompt, completion, this.#time()));
      }
      return stored;
    });
  }

  /** The completions of a project, oldest first. @param origin only those of this origin. */
  async completions(project = 'default', origin?: Origin): Promise<Completion[]> {
    return await readCompletions(this.#db, project, origin);
  }

  /** Adds a task: a prompt with K completions to judge. The same task again is the same row. */
  async addTask(task: NewTask): Promise<Task> {
    return (await this.addTasks([task]))[0] as Task;
  }

  /** Adds tasks in one transaction: all or none. */
  async addTasks(tasks: readonly NewTask[]): Promise<Task[]> {
    return await this.#write(async (db) => {
      const ids: string[] = [];
      for (const task of tasks) ids.push(await addTask(db, task, this.#time()));
      return await readTasks(db, ids);
    });
  }

  /** @throws NudgeError NOT_FOUND. */
  async task(id: string): Promise<Task> {
    return (await readTasks(this.#db, [id]))[0] as Task;
  }

  /** The tasks of a project, oldest first. */
  async tasks(project = 'default'): Promise<Task[]> {
    const query = this.#db.selectFrom('tasks').select('id').where('project', '=', project);
    const rows = await query.orderBy('time').orderBy('id').execute();
    return await readTasks(
      this.#db,
      rows.map(({ id }) => id),
    );
  }

  /** Adds a labeller, or finds the one of this kind and name. @throws NudgeError CONFLICT where its profile is another. */
  async addLabeller(labeller: NewLabeller): Promise<Labeller> {
    return await this.#write((db) => addLabeller(db, labeller, this.#time()));
  }

  async labeller(id: string): Promise<Labeller> {
    return await readLabeller(this.#db, id);
  }

  async labellers(): Promise<Labeller[]> {
    return await readLabellers(this.#db);
  }

  /** From now on the labeller's judgements are left out of new snapshots, and it can submit no more. Nothing is deleted. */
  async withdrawLabeller(id: string, reason: string): Promise<void> {
    await this.#write((db) => appendEvent(db, id, 'withdrawn', reason, this.#time()));
  }

  async reinstateLabeller(id: string, reason: string): Promise<void> {
    await this.#write((db) => appendEvent(db, id, 'reinstated', reason, this.#time()));
  }

  /** Stores in which order the labeller is going to see the task: call it before showing. */
  async recordDisplay(display: NewDisplay): Promise<Display> {
    return (await this.recordDisplays([display]))[0] as Display;
  }

  /** Stores displays in one transaction: all or none. */
  async recordDisplays(displays: readonly NewDisplay[]): Promise<Display[]> {
    return await this.#write(async (db) => {
      const stored: Display[] = [];
      for (const display of displays) stored.push(await recordDisplay(db, display, this.#time()));
      return stored;
    });
  }

  /** Picks the labeller's next task and records its display; null where none is left. */
  async assignTask(options: AssignOptions): Promise<Display | null> {
    return await this.#write((db) => assignTask(db, options, this.#now(), this.#time()));
  }

  /**
   * Stores a judgement. When the promise resolves, it is on the disk. Sent again with the same client key, it is stored once.
   *
   * @throws NudgeError BAD_ARGUMENT, NOT_FOUND, or CONFLICT, as where the labeller judged the task before: then `supersedes`
   * names what is replaced.
   */
  async submitJudgement(judgement: NewJudgement): Promise<Judgement> {
    return ((await this.submitJudgements([judgement]))[0] as Submitted).judgement;
  }

  /** Stores judgements in one transaction: all or none. `isNew` is false for those that were sent before. */
  async submitJudgements(judgements: readonly NewJudgement[]): Promise<Submitted[]> {
    return await this.#write(async (db) => {
      const stored: Submitted[] = [];
      for (const one of judgements) stored.push(await submitJudgement(db, one, this.#time()));
      return stored;
    });
  }

  /** @throws NudgeError NOT_FOUND. */
  async judgement(id: string): Promise<Judgement> {
    return await readJudgement(this.#db, id);
  }

  /** Everything that was said about a task, superseded judgements and skips included, oldest first. */
  async judgementsOf(task: string): Promise<Judgement[]> {
    const rows = await this.#db.selectFrom('judgements').selectAll().where('task', '=', task).orderBy('time').execute();
    return rows.map(asJudgement);
  }

  /** What stands of what the labeller said about the task; a retraction or skip, too. */
  async standing(task: string, labeller: string): Promise<Judgement | null> {
    return await standingJudgement(this.#db, task, labeller);
  }

  /** Chooses the judgements that stand and fit the filter, and keeps the choice. The same judgements give the same id. */
  async snapshot(filter: SnapshotFilter = {}): Promise<Snapshot> {
    return await this.#write((db) => takeSnapshot(db, filter, this.#time()));
  }

  /** @throws NudgeError NOT_FOUND. */
  async readSnapshot(id: string): Promise<Snapshot> {
    return await readSnapshot(this.#db, id);
  }

  async snapshots(project = 'default'): Promise<Snapshot[]> {
    return await readSnapshots(this.#db, project);
  }

  /** The judgements of a snapshot with their tasks, oldest first. */
  async judged(snapshot: string): Promise<JudgedTask[]> {
    return await judgedTasks(this.#db, snapshot);
  }

  /** One record a judgement, K-wise, ties and partial ranks as they were said. `extra` names judgement, task and labeller. */
  async rankings(snapshot: string): Promise<RankingRecord[]> {
    return toRankings(await this.judged(snapshot));
  }

  /** All pairs that are not tied. */
  async preferences(snapshot: string, options: PreferenceOptions = {}): Promise<PreferenceRecord[]> {
    return toPreferences(await this.judged(snapshot), options);
  }

  /** Good and bad answers: from tasks with one completion, and from "none is good". */
  async unpaired(snapshot: string): Promise<UnpairedRecord[]> {
    return toUnpaired(await this.judged(snapshot));
  }

  /** Labellers, guidelines, models and judgements behind a snapshot. */
  async lineage(snapshot: string): Promise<Lineage> {
    return await lineageOf(this.#db, snapshot);
  }

  /** How much there is of a project. */
  async summary(project = 'default'): Promise<StoreSummary> {
    return await summarise(this.#db, project);
  }

  /** Recomputes every hash and checks the file. Reads all of it. */
  async verify(): Promise<Verification> {
    return await verify(this.#opened.file, this.#db);
  }

  /** Copies the store, as it is at this moment, to a new file; others may go on writing meanwhile. @throws NudgeError. */
  async backup(path: string): Promise<void> {
    await backUp(this.#opened.file, path);
  }

  async close(): Promise<void> {
    await this.#db.destroy();
    this.#opened.file.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #db(): Db {
    return this.#opened.db;
  }

  async #write<T>(action: (db: Db) => Promise<T>): Promise<T> {
    return await this.#db.transaction().execute(action);
  }

  /** Later than all times that this store gave before, so that times alone tell the order. */
  #time(): string {
    this.#last = Math.max(this.#now().getTime(), this.#last + 1);
    return new Date(this.#last).toISOString();
  }
}
