/** From files to the store. */

import { setImmediate } from 'node:timers/promises';
import {
  type AnyRecord,
  type Content,
  type Format,
  type LoadOptions,
  loadRecords,
  type RecordsByFormat,
  type SkipOptions,
  showPlace,
} from '../../../data/index.ts';
import { NudgeError } from '../../../errors.ts';
import { contentId } from '../canonical.ts';
import { CUT_OFF, type NewJudgement, type NewLabeller, type NewTask } from '../records.ts';
import type { PreferenceStore } from '../store.ts';
import { type Source, SourceSchema, taskOf } from './source.ts';

export interface ImportOptions extends LoadOptions, SkipOptions {
  /** Default: 'default'. */
  project?: string;
  /** Who said it, where the file does not tell. Default: the person "imported". */
  labeller?: NewLabeller;
  /** The column that names the labeller of each row, each a person. */
  labellerColumn?: string;
  guidelineVersion?: string;
  onProgress?: (progress: { records: number; total: number }) => void;
}

export interface Imported {
  readonly format: Format;
  readonly records: number;
  /** Prompts, demonstrations or judgements that the store did not have. */
  readonly added: number;
  /** Rows that were set aside (`skipBadRows`). */
  readonly badRows: number;
}

/** Records in one transaction. In between others can write, and the event loop gets its turn. */
const BATCH = 50;

/**
 * Reads a file of any format into the store. The same file again adds nothing, and an import that was cut short goes on where
 * it ended. Rows that are the same, such as two opinions on one pair without a labeller's name, are kept as tasks of their own.
 *
 * @throws NudgeError BAD_FILE, IO_FAILED; BAD_ARGUMENT for texts, which nobody can judge; CONFLICT with the row, where a
 * labeller says something else than the store has.
 */
export async function importRecords(
  store: PreferenceStore,
  paths: string | readonly string[],
  options: ImportOptions = {},
): Promise<Imported> {
  const loaded = await loadRecords(paths, options);
  const { format, badRows, records } = loaded;
  if (format === 'text') {
    throw new NudgeError('BAD_ARGUMENT', 'Texts without a prompt have no place in the preference store.', {
      path: String(paths),
      expected: 'prompts, prompts with completions, preferences, rankings or labelled answers',
      received: 'texts',
      remedy: 'Fine-tune on the file directly.',
    });
  }
  const importer = new Importer(store, options);
  let added = 0;
  for (let start = 0; start < records.length; start += BATCH) {
    const places = loaded.places.slice(start, start + BATCH).map(showPlace);
    added += await importer.add(format, records.slice(start, start + BATCH), places);
    await setImmediate();
    options.onProgress?.({ records: Math.min(start + BATCH, records.length), total: records.length });
  }
  return { format, records: records.length, added, badRows };
}

interface Said {
  task: NewTask;
  labeller: NewLabeller;
  judgement: Omit<NewJudgement, 'task' | 'labeller'>;
}

class Importer {
  readonly #store: PreferenceStore;
  readonly #options: ImportOptions;
  readonly #project: string;
  readonly #labellers = new Map<string, string>();
  /** How often each task came, by labeller. */
  readonly #seen = new Map<string, number>();

  constructor(store: PreferenceStore, options: ImportOptions) {
    this.#store = store;
    this.#options = options;
    this.#project = options.project ?? 'default';
  }

  async add(
    format: Exclude<Format, 'text'>,
    records: readonly AnyRecord[],
    places: readonly string[],
  ): Promise<number> {
    if (format === 'prompt-only') return await this.#addPrompts(records as RecordsByFormat['prompt-only'][]);
    if (format === 'prompt-completion') {
      return await this.#addDemonstrations(records as RecordsByFormat['prompt-completion'][]);
    }
    const said = records.map((record, i) => this.#read(asRanking(format, record), places[i] as string));
    const tasks = await this.#store.addTasks(said.map(({ task }) => task));
    const judgements: NewJudgement[] = [];
    for (const [i, { labeller, judgement }] of said.entries()) {
      const task = (tasks[i] as { id: string }).id;
      judgements.push({
        clientKey: task,
        ...judgement,
        supersedes: await this.#known(judgement.supersedes ?? null),
        task,
        labeller: await this.#labeller(labeller),
      });
    }
    try {
      return (await this.#store.submitJudgements(judgements)).filter(({ isNew }) => isNew).length;
    } catch (error) {
      throw await this.#withPlace(error, judgements, places);
    }
  }

  async #addPrompts(records: readonly RecordsByFormat['prompt-only'][]): Promise<number> {
    const before = await this.#store.summary(this.#project);
    await this.#store.addPrompts(records.map(({ prompt, extra = {} }) => ({ project: this.#project, prompt, extra })));
    return (await this.#store.summary(this.#project)).prompts - before.prompts;
  }

  async #addDemonstrations(records: readonly RecordsByFormat['prompt-completion'][]): Promise<number> {
    const before = await this.#store.summary(this.#project);
    const prompts = await this.#store.addPrompts(records.map(({ prompt }) => ({ project: this.#project, prompt })));
    await this.#store.addCompletions(
      records.map(({ completion: content, extra = {} }, i) => ({
        prompt: (prompts[i] as { id: string }).id,
        completion: { content, origin: 'demonstration', extra },
      })),
    );
    return (await this.#store.summary(this.#project)).completions - before.completions;
  }

  #read(row: Ranked, place: string): Said {
    const { nudge, ...extra } = row.extra;
    if (nudge !== undefined) return this.#restore(nudge, row, place);
    const { labellerColumn, labeller = { kind: 'person', name: 'imported' }, guidelineVersion = null } = this.#options;
    const named = labellerColumn === undefined ? undefined : extra[labellerColumn];
    if (labellerColumn !== undefined) delete extra[labellerColumn];
    if (labellerColumn !== undefined && typeof named !== 'string' && typeof named !== 'number') {
      throw new NudgeError('BAD_FILE', 'The row does not name its labeller.', {
        path: `${place}, ${labellerColumn}`,
        expected: 'a text or a number',
        received: JSON.stringify(named) ?? 'nothing',
      });
    }
    const who: NewLabeller = named === undefined ? labeller : { kind: 'person', name: String(named) };
    const completions = row.completions.map((content, i) =>
      row.truncated?.[i] ? { content, sampling: { finishReason: CUT_OFF } } : content,
    );
    const task = { project: this.#project, prompt: row.prompt, completions, extra };
    const { ranks, noneGood = false, margin = null } = row;
    return {
      task: { ...task, key: this.#count(who, task) },
      labeller: who,
      judgement: { ranks, noneGood, margin, displayedOrder: null, guidelineVersion },
    };
  }

  /** '' for a labeller's first row about a task, 'copy 2' for the second: a labeller judges a task once. */
  #count(labeller: NewLabeller, task: object): string {
    const name = contentId('row', { kind: labeller.kind, name: labeller.name, task });
    const count = (this.#seen.get(name) ?? 0) + 1;
    this.#seen.set(name, count);
    return count === 1 ? '' : `copy ${count}`;
  }

  #restore(nudge: unknown, row: Ranked, place: string): Said {
    const parsed = SourceSchema.safeParse(typeof nudge === 'string' ? tryJson(nudge) : nudge);
    if (!parsed.success || parsed.data.completions.length !== row.completions.length) {
      const issue = parsed.error?.issues[0];
      throw new NudgeError('BAD_FILE', 'The column nudge is not as the store wrote it.', {
        path: place,
        received: issue === undefined ? 'another number of completions' : `${issue.path.join('.')}: ${issue.message}`,
        remedy: 'Leave the column out to import the row as if it came from elsewhere.',
      });
    }
    const source: Source = parsed.data;
    // What the row shows is what was meant, should someone have edited the file.
    const { ranks, noneGood } = source.judgement;
    const judgement = {
      ...source.judgement,
      ranks: row.ordered ? ranks : row.ranks,
      noneGood: row.noneGood ?? noneGood,
    };
    return {
      task: taskOf(source, this.#project, row.prompt, this.#inOrder(source, row)),
      labeller: source.labeller,
      judgement,
    };
  }

  /** A preference shows the better one first, whatever its place in the task. */
  #inOrder(source: Source, row: Ranked): Content[] {
    const [first, second] = source.judgement.ranks ?? [];
    const isTurned = row.ordered && typeof first === 'number' && typeof second === 'number' && first > second;
    return isTurned ? row.completions.toReversed() : [...row.completions];
  }

  async #labeller(labeller: NewLabeller): Promise<string> {
    const name = `${labeller.kind} ${labeller.name}`;
    const known = this.#labellers.get(name) ?? (await this.#store.addLabeller(labeller)).id;
    this.#labellers.set(name, known);
    return known;
  }

  /** A judgement that is not in this store cannot be superseded in it. */
  async #known(judgement: string | null): Promise<string | null> {
    if (judgement === null) return null;
    return await this.#store.judgement(judgement).then(
      () => judgement,
      () => null,
    );
  }

  /** Which of the rows was refused: a batch is stored whole or not at all, so that it is told by storing one at a time. */
  async #withPlace(error: unknown, judgements: readonly NewJudgement[], places: readonly string[]): Promise<unknown> {
    if (!(error instanceof NudgeError) || judgements.length === 1) return error;
    for (const [i, judgement] of judgements.entries()) {
      try {
        await this.#store.submitJudgement(judgement);
      } catch (refusal) {
        if (!(refusal instanceof NudgeError)) return refusal;
        return new NudgeError(refusal.code, refusal.message, {
          path: places[i] as string,
          remedy: 'Correct the row and import again; what stood before it is stored, and not stored twice.',
          cause: refusal,
        });
      }
    }
    return error;
  }
}

interface Ranked {
  prompt: Content;
  completions: readonly Content[];
  ranks: readonly (number | null)[];
  truncated?: readonly boolean[];
  noneGood?: boolean;
  margin?: number;
  extra: Record<string, unknown>;
  /** The completions stand in the order of preference, not of the task. */
  ordered?: true;
}

function asRanking(format: Format, record: AnyRecord): Ranked {
  const extra = { ...record.extra };
  if (format === 'ranking') return { ...(record as RecordsByFormat['ranking']), extra };
  if (format === 'unpaired') {
    const { prompt, completion, label } = record as RecordsByFormat['unpaired'];
    return { prompt, completions: [completion], ranks: [1], noneGood: !label, extra };
  }
  const { prompt, chosen, rejected, margin } = record as RecordsByFormat['preference'];
  return {
    prompt,
    completions: [chosen, rejected],
    ranks: [1, 2],
    ...(margin === undefined ? {} : { margin }),
    extra,
    ordered: true,
  };
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
