/** From lines of a terminal to messages: several lines between quotes, or pasted at once, are one message. */
import { isCommand } from './commands.ts';

export const QUOTES = '"""';

/** Lines that come within this many milliseconds of each other were pasted: nobody types so fast. */
const BURST_MS = 25;

export class Inbox implements AsyncIterable<string> {
  readonly #messages: string[] = [];
  /** Lines after the opening quotes; null outside. */
  #quoted: string[] | null = null;
  /** Lines that came just now. */
  #burst: string[] = [];
  #timer: NodeJS.Timeout | null = null;
  #wake: (() => void) | null = null;
  #closed = false;

  /** Whether a message of several lines is unfinished. */
  get isOpen(): boolean {
    return this.#quoted !== null;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  push(line: string): void {
    if (this.#quoted !== null) this.#goOn(this.#quoted, line);
    else if (line.trimStart().startsWith(QUOTES)) {
      this.#flush();
      this.#quoted = [];
      this.#goOn(this.#quoted, line.trimStart().slice(QUOTES.length));
    } else if (isCommand(line)) {
      this.#flush();
      this.#add(line);
    } else {
      this.#burst.push(line);
      if (this.#timer !== null) clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#flush(), BURST_MS);
    }
  }

  /** Forgets an unfinished message. */
  drop(): void {
    this.#quoted = null;
  }

  /** What was pushed is still read. */
  close(): void {
    this.#flush();
    this.#closed = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    while (true) {
      const message = this.#messages.shift();
      if (message !== undefined) yield message;
      else if (this.#closed) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  #goOn(quoted: string[], line: string): void {
    const text = line.trimEnd();
    if (!text.endsWith(QUOTES)) {
      quoted.push(line);
      return;
    }
    quoted.push(text.slice(0, -QUOTES.length));
    this.#quoted = null;
    // The quotes may stand on lines of their own.
    this.#add(quoted.join('\n').replace(/^\n/, '').replace(/\n$/, ''));
  }

  #flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#burst.length > 0) this.#add(this.#burst.join('\n'));
    this.#burst = [];
  }

  #add(message: string): void {
    this.#messages.push(message);
    this.#wake?.();
  }
}
