/** From prompts to rows: many prompts in flight, rows in the order of the prompts, memory for a window of them alone. */
import { encodePrompt, promptMessages } from '../../data/index.ts';
import type { Completion, Engine, SamplingParameters } from '../../generate/index.ts';
import { type BuiltinTemplateName, type ChatMessage, ChatTemplate, type Tokenizer } from '../../text/index.ts';
import { deriveSeed } from '../../train/index.ts';
import type { OutputFile, RunIdentity } from './output.ts';
import type { PromptRow } from './prompts.ts';

/** How a prompt becomes ids. */
export interface Rendering {
  /** `chat`: a string is what the user says. `continue`: it is gone on with as it stands. */
  readonly strings: 'chat' | 'continue';
  readonly system?: string | undefined;
  readonly template?: BuiltinTemplateName | undefined;
}

export class PromptEncoder {
  readonly #tokenizer: Tokenizer;
  readonly #rendering: Rendering;
  readonly #template: ChatTemplate | undefined;

  constructor(tokenizer: Tokenizer, rendering: Rendering) {
    this.#tokenizer = tokenizer;
    this.#rendering = rendering;
    this.#template = rendering.template === undefined ? undefined : ChatTemplate.builtin(rendering.template);
  }

  /** Whether messages can be rendered at all. */
  get canChat(): boolean {
    return (this.#template ?? this.#tokenizer.chatTemplate) !== undefined;
  }

  encode({ prompt }: PromptRow): number[] {
    const { strings, system } = this.#rendering;
    return encodePrompt(this.#tokenizer, prompt, {
      strings,
      ...(system === undefined ? {} : { system }),
      ...(this.#template === undefined ? {} : { template: this.#template }),
    });
  }

  /** The prompt as the model got it, for the row: a record that trains on what was generated. */
  asked({ prompt }: PromptRow): string | readonly ChatMessage[] {
    const { strings, system } = this.#rendering;
    if (typeof prompt === 'string' && strings === 'continue') return prompt;
    const messages = promptMessages(prompt);
    const addsSystem = system !== undefined && messages[0]?.role !== 'system';
    return addsSystem ? [{ role: 'system', content: system }, ...messages] : messages;
  }
}

export interface Job {
  readonly engine: Engine;
  readonly encoder: PromptEncoder;
  readonly prompts: AsyncIterable<PromptRow>;
  readonly output: OutputFile;
  readonly identity: RunIdentity;
  readonly sampling: SamplingParameters & { readonly n: number; readonly seed: number };
  /** Whether rows have ids and a log-probability for each. */
  readonly withIds: boolean;
  /** Prompts that are on their way at the same time. */
  readonly window: number;
  readonly onToken: () => void;
  readonly onCompletion: (completion: Completion) => void;
}

interface Pending {
  readonly row: PromptRow;
  readonly seed: number;
  readonly completions: Promise<Completion[]>;
  /** Once they are all there. */
  rows: readonly object[] | null;
}

/** Generates what the file does not have yet. */
export async function generateRows(job: Job): Promise<void> {
  const { prompts, output, window } = job;
  const pending: Pending[] = [];
  try {
    for await (const row of prompts) {
      if (row.index < output.done) continue;
      while (pending.length >= window) await writeFirst(pending, output);
      pending.push(begin(job, row));
    }
    while (pending.length > 0) await writeFirst(pending, output);
  } finally {
    await output.close();
  }
}

function begin(job: Job, row: PromptRow): Pending {
  const seed = deriveSeed(job.sampling.seed, 'generate', row.index);
  const completions = complete(job, row, seed);
  const pending: Pending = { row, seed, completions, rows: null };
  completions.then(
    (all) => {
      pending.rows = all.map((completion) => asRow(job, row, seed, completion));
    },
    // Told when its turn comes; a failure until then must not end the process.
    () => {},
  );
  return pending;
}

/** Waits for the oldest prompt, and writes it with all behind it that are done too: a write waits for the engine's next step. */
async function writeFirst(pending: Pending[], output: OutputFile): Promise<void> {
  await pending[0]!.completions;
  const unfinished = pending.findIndex(({ rows }) => rows === null);
  const done = pending.splice(0, unfinished === -1 ? pending.length : unfinished);
  await output.append(done.flatMap(({ rows }) => rows!));
}

async function complete(
  { engine, encoder, sampling, onToken, onCompletion }: Job,
  row: PromptRow,
  seed: number,
): Promise<Completion[]> {
  const completions: Completion[] = [];
  const request = { ...sampling, seed, promptIds: encoder.encode(row), logprobs: true };
  for await (const event of engine.stream(request)) {
    if (event.type === 'token') onToken();
    else {
      completions[event.index] = event.completion;
      onCompletion(event.completion);
    }
  }
  return completions;
}

function asRow({ encoder, identity, withIds }: Job, row: PromptRow, seed: number, completion: Completion): object {
  const { run, model, parameters } = identity;
  const { ids, logprobs, text, finishReason, index } = completion;
  return {
    run,
    promptIndex: row.index,
    ...(row.id === null ? {} : { id: row.id }),
    sampleIndex: index,
    prompt: encoder.asked(row),
    completion: text,
    finishReason,
    tokens: ids!.length,
    logprob: logprobs!.reduce((sum, logprob) => sum + logprob, 0),
    ...(withIds ? { ids, logprobs } : {}),
    seed,
    model,
    parameters,
  };
}
