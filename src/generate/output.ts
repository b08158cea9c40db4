/** One completion as it grows: its ids, its text without stop strings, and when it is done. */
import type { Completion, FinishReason, GenerateEvent, ResolvedParameters } from './request.ts';
import { StopScanner } from './stops.ts';

/** What the engine needs of a tokenizer: `Tokenizer` of src/text has it. */
export interface TextCodec {
  encode(text: string): number[];
  decodeStream(options?: { skipSpecialTokens?: boolean; continuing?: boolean }): {
    push(id: number): string;
    end(): string;
  };
}

export class Output {
  readonly index: number;
  readonly ids: number[] = [];
  readonly #logprobs: number[] = [];
  readonly #parameters: ResolvedParameters;
  readonly #stopIds: ReadonlySet<number>;
  readonly #decoder: { push(id: number): string; end(): string } | null;
  readonly #scanner: StopScanner;
  #text = '';
  #reason: FinishReason | null = null;

  constructor(index: number, parameters: ResolvedParameters, stopIds: ReadonlySet<number>, codec: TextCodec | null) {
    this.index = index;
    this.#parameters = parameters;
    this.#stopIds = stopIds;
    this.#decoder = codec === null ? null : codec.decodeStream({ skipSpecialTokens: true, continuing: true });
    this.#scanner = new StopScanner(parameters.stopStrings);
  }

  get isDone(): boolean {
    return this.#reason !== null;
  }

  /** Takes the next token. */
  push(id: number, logprob: number): GenerateEvent {
    this.ids.push(id);
    this.#logprobs.push(logprob);
    let text = '';
    if (this.#stopIds.has(id)) this.#reason = 'stop';
    else {
      text = this.#scanner.push(this.#decoder?.push(id) ?? '');
      if (this.#scanner.found) this.#reason = 'stop';
      else if (this.ids.length >= this.#parameters.maxTokens) this.#reason = 'length';
    }
    if (this.#reason !== null) text += this.#rest();
    this.#text += text;
    return { type: 'token', index: this.index, id, text, logprob: this.#parameters.logprobs ? logprob : null };
  }

  /** What it came to; unfinished ones count as cancelled. */
  complete(): Completion {
    if (this.#reason === null) {
      this.#text += this.#rest();
      this.#reason = 'cancelled';
    }
    return {
      index: this.index,
      ids: this.ids,
      text: this.#text,
      logprobs: this.#parameters.logprobs ? this.#logprobs : null,
      finishReason: this.#reason,
    };
  }

  /** The text that was held back. */
  #rest(): string {
    if (this.#scanner.found) return '';
    return this.#scanner.push(this.#decoder?.end() ?? '') + this.#scanner.end();
  }
}
