/** A sampler behind an OpenAI-compatible server: vLLM, llama.cpp, `transformers serve`, or a hosted one. */
import { NudgeError } from '../../errors.ts';
import {
  type Completion,
  type FinishReason,
  type GenerateEvent,
  type GenerateRequest,
  type ResolvedParameters,
  resolveParameters,
  type Sampler,
} from '../request.ts';
import { Client, type ClientOptions } from './client.ts';

export interface ServerSamplerOptions extends ClientOptions {
  /** The name that the server knows the model by. */
  model: string;
  /** Requests on their way at the same time; the others wait. Default 16. */
  concurrency?: number;
  /**
   * Whether to send topK, minP and repetitionPenalty, which vLLM and llama.cpp take and OpenAI's own API refuses. Default true;
   * with false a request that needs them is refused. They are sent also where they change nothing: by itself llama.cpp samples
   * from the 40 likeliest tokens, and vLLM as the model's generation_config.json says.
   */
  extensions?: boolean;
}

interface Choice {
  index?: number;
  text?: string;
  message?: { content?: string | null };
  delta?: { content?: string | null };
  finish_reason?: string | null;
  stop_reason?: unknown;
  token_ids?: number[] | null;
  logprobs?: {
    tokens?: unknown[] | null;
    token_logprobs?: (number | null)[] | null;
    content?: { logprob: number; id?: number }[] | null;
  } | null;
}

/**
 * `promptIds` and `prompt` go to `/completions`, `messages` to `/chat/completions`. Tested against llama.cpp's server and
 * `transformers serve` (tests/peers). What differs:
 *
 * - Ids come back where the server tells them (vLLM; llama.cpp with `logprobs`), else `ids` is null.
 * - Log-probabilities are those of the model at temperature 1: with `logprobs`, temperature is 1 or 0, anything else is refused.
 * - llama.cpp does not know `stopIds` and goes on past them. That is an error where its ids show it: use `stopStrings`.
 * - `transformers serve` has no log-probabilities, takes no `promptIds`, needs `extensions: false`, and chooses greedily at any
 *   temperature unless the model's generation_config.json says `do_sample`.
 */
export class ServerSampler implements Sampler {
  readonly #client: Client;
  readonly #model: string;
  readonly #extensions: boolean;
  readonly #slots: Slots;

  constructor({ model, concurrency = 16, extensions = true, ...client }: ServerSamplerOptions) {
    this.#client = new Client(client);
    this.#model = model;
    this.#extensions = extensions;
    this.#slots = new Slots(concurrency);
  }

  async generate(request: GenerateRequest): Promise<Completion[]> {
    const parameters = resolveParameters(request);
    const { path, body } = this.#body(request, parameters);
    const { signal } = request;
    // One request a completion: not every server knows n, and each has a seed of its own.
    return Promise.all(
      Array.from({ length: parameters.n }, (_, index) =>
        this.#slots.run(async () => {
          if (signal?.aborted) return cancelled(index);
          try {
            const answer = await this.#client.post(path, { ...body, ...seedOf(parameters, index) }, signal);
            const collected = new Collected(index, parameters);
            for (const _ of collected.add(choiceOf(answer)));
            return collected.complete();
          } catch (error) {
            if (signal?.aborted) return cancelled(index);
            throw error;
          }
        }),
      ),
    );
  }

  async *stream(request: GenerateRequest): AsyncGenerator<GenerateEvent> {
    const parameters = resolveParameters(request);
    const { path, body } = this.#body(request, parameters);
    const { signal } = request;
    for (let index = 0; index < parameters.n; index++) {
      const collected = new Collected(index, parameters);
      try {
        const events = this.#client.events(path, { ...body, ...seedOf(parameters, index), stream: true }, signal);
        for await (const event of events) yield* collected.add(choiceOf(event));
      } catch (error) {
        if (!signal?.aborted) throw error;
      }
      yield { type: 'end', index, completion: signal?.aborted ? collected.cancel() : collected.complete() };
    }
  }

  #body(request: GenerateRequest, parameters: ResolvedParameters): { path: string; body: object } {
    const { promptIds, prompt, messages } = request;
    if ([promptIds, prompt, messages].filter((given) => given !== undefined).length !== 1) {
      throw new NudgeError('BAD_ARGUMENT', 'A request has one prompt.', {
        expected: 'one of promptIds, prompt and messages',
      });
    }
    const { maxTokens, temperature, topP, stopStrings, logprobs } = parameters;
    if (logprobs && temperature !== 0 && temperature !== 1) throw otherTemperature(temperature);
    const body = {
      model: this.#model,
      max_tokens: maxTokens,
      temperature,
      top_p: topP,
      ...(stopStrings.length > 0 ? { stop: stopStrings } : {}),
      ...this.#extended(parameters),
    };
    if (messages !== undefined) {
      return { path: '/chat/completions', body: { ...body, messages, ...(logprobs ? { logprobs: true } : {}) } };
    }
    return {
      path: '/completions',
      body: { ...body, prompt: promptIds ?? prompt, ...(logprobs ? { logprobs: 1 } : {}) },
    };
  }

  #extended({ topK, minP, repetitionPenalty, stopIds }: ResolvedParameters): object {
    const stops = stopIds.length > 0 ? { stop_token_ids: stopIds } : {};
    // -1 is for all tokens in every server; 0 is refused by some.
    const sent = { top_k: topK || -1, min_p: minP, repetition_penalty: repetitionPenalty };
    if (this.#extensions) return { ...sent, repeat_penalty: repetitionPenalty, ...stops };
    const neutral: object = { top_k: -1, min_p: 0, repetition_penalty: 1 };
    const needed = [
      ...Object.entries(sent).flatMap(([name, value]) => (neutral[name as keyof object] === value ? [] : [name])),
      ...Object.keys(stops),
    ];
    if (needed.length === 0) return {};
    throw new NudgeError('BAD_ARGUMENT', "This server takes OpenAI's own parameters only.", {
      path: 'extensions',
      received: needed.join(', '),
      remedy: 'Leave them out, or set extensions to true where the server knows them.',
    });
  }
}

/** Each completion has a seed of its own, within 31 bits: servers take no more. */
function seedOf({ seed }: ResolvedParameters, index: number): { seed: number } {
  return { seed: (seed + index) % 2 ** 31 };
}

/** What has come of one completion. */
class Collected {
  readonly #index: number;
  readonly #wantsLogprobs: boolean;
  readonly #stopIds: readonly number[];
  readonly #ids: number[] = [];
  readonly #logprobs: number[] = [];
  #hasIds = false;
  #text = '';
  #reason: FinishReason | null = null;

  constructor(index: number, { logprobs, stopIds }: ResolvedParameters) {
    this.#index = index;
    this.#wantsLogprobs = logprobs;
    this.#stopIds = stopIds;
  }

  *add(choice: Choice): Generator<GenerateEvent> {
    const text = choice.text ?? choice.delta?.content ?? choice.message?.content ?? '';
    const content = choice.logprobs?.content ?? [];
    const logprobs = choice.logprobs?.token_logprobs ?? content.map(({ logprob }) => logprob);
    const ids = choice.token_ids ?? content.flatMap(({ id }) => (id === undefined ? [] : [id]));
    this.#text += text;
    this.#ids.push(...ids);
    this.#hasIds ||= ids.length > 0;
    this.#logprobs.push(...logprobs.map((logprob) => logprob ?? Number.NaN));
    const reason = choice.finish_reason;
    if (reason !== null && reason !== undefined) this.#reason = reason === 'length' ? 'length' : 'stop';
    const only = logprobs.length === 1 ? (logprobs[0] ?? null) : null;
    const id = ids.length === 1 ? ids[0]! : null;
    if (text !== '' || id !== null) {
      yield { type: 'token', index: this.#index, id, text, logprob: this.#wantsLogprobs ? only : null };
    }
  }

  complete(): Completion {
    if (this.#reason === null) {
      throw new NudgeError('SERVER_FAILED', 'The server broke a completion off without a finish reason.', {
        received: this.#text.slice(-100),
      });
    }
    if (
      this.#wantsLogprobs &&
      (this.#logprobs.length === 0 || this.#logprobs.some(Number.isNaN)) &&
      this.#text !== ''
    ) {
      throw noLogprobs();
    }
    if (this.#ids.slice(0, -1).some((id) => this.#stopIds.includes(id))) throw passedStop();
    return this.#completion(this.#reason);
  }

  cancel(): Completion {
    return this.#completion('cancelled');
  }

  #completion(finishReason: FinishReason): Completion {
    return {
      index: this.#index,
      ids: this.#hasIds ? this.#ids : null,
      text: this.#text,
      logprobs: this.#wantsLogprobs ? this.#logprobs : null,
      finishReason,
    };
  }
}

function otherTemperature(temperature: number): NudgeError {
  return new NudgeError(
    'BAD_ARGUMENT',
    "Servers give the model's log-probabilities, not those at another temperature.",
    {
      path: 'temperature',
      expected: '1 or 0, where log-probabilities are asked for',
      received: String(temperature),
      remedy: 'Sample at temperature 1, or score the completions with a model in this process.',
    },
  );
}

function noLogprobs(): NudgeError {
  return new NudgeError('SERVER_FAILED', 'The server does not offer log-probabilities.', {
    path: 'logprobs',
    expected: 'a log-probability of each token',
    received: 'none',
    remedy: 'Use a server that has them (vLLM; llama.cpp), or score the completions with a model in this process.',
  });
}

function passedStop(): NudgeError {
  return new NudgeError('SERVER_FAILED', 'The server does not stop at stopIds.', {
    path: 'stopIds',
    expected: 'nothing after a token that ends a completion',
    received: 'more tokens',
    remedy: 'Use stopStrings, which every server knows.',
  });
}

function choiceOf(answer: unknown): Choice {
  const { choices, error } = (answer ?? {}) as { choices?: Choice[]; error?: { message?: string } | string };
  // The last event of a stream may hold the usage only.
  if (Array.isArray(choices)) return choices[0] ?? {};
  const message = typeof error === 'string' ? error : error?.message;
  throw new NudgeError('SERVER_FAILED', 'The server answered without choices.', {
    received: message ?? JSON.stringify(answer).slice(0, 300),
  });
}

function cancelled(index: number): Completion {
  return { index, ids: null, text: '', logprobs: null, finishReason: 'cancelled' };
}

/** So many at a time. */
class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
