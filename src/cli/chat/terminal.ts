/** A chat on a terminal: an editable prompt, answers as they come, Ctrl-C for the answer and twice for the program. */
import { createInterface, type Interface } from 'node:readline';
import { Writable } from 'node:stream';
import { styleText } from 'node:util';
import { NudgeError } from '../../errors.ts';
import { CHAT_COMMANDS, isCommand, runCommand } from './commands.ts';
import { Inbox, QUOTES } from './inbox.ts';
import { droppedNote, endNote, printable } from './notes.ts';
import type { ChatSession, Reply } from './session.ts';

export interface TerminalStreams {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WriteStream;
}

const PROMPT = '> ';
const CONTINUED = '… ';

/** Until the user leaves. */
export async function chatOnTerminal(session: ChatSession, { input, output }: TerminalStreams): Promise<void> {
  await new TerminalChat(session, input, output).run();
}

class TerminalChat {
  readonly #session: ChatSession;
  readonly #output: NodeJS.WriteStream;
  readonly #gate: Gate;
  readonly #readline: Interface;
  readonly #inbox = new Inbox();
  /** While an answer is on its way. */
  #answering: AbortController | null = null;
  /** Whether the next Ctrl-C leaves. */
  #armed = false;

  constructor(session: ChatSession, input: NodeJS.ReadableStream, output: NodeJS.WriteStream) {
    this.#session = session;
    this.#output = output;
    this.#gate = new Gate(output);
    this.#readline = createInterface({ input, output: this.#gate, terminal: true, completer, prompt: PROMPT });
    this.#readline
      .on('line', (line) => {
        this.#armed = false;
        this.#inbox.push(line);
        // The inbox goes on with a message of several lines.
        if (this.#inbox.isOpen && this.#answering === null) this.#prompt();
      })
      .on('SIGINT', () => this.#interrupt())
      .on('close', () => {
        this.#answering?.abort();
        this.#inbox.close();
      });
  }

  async run(): Promise<void> {
    try {
      this.#prompt();
      for await (const message of this.#inbox) {
        if (await this.#handle(message)) return;
        if (!this.#inbox.isClosed) this.#prompt();
      }
      // Ctrl-D leaves the cursor behind the prompt.
      this.#output.write('\n');
    } finally {
      this.#readline.close();
    }
  }

  #prompt(): void {
    this.#readline.setPrompt(this.#inbox.isOpen ? this.#dim(CONTINUED) : PROMPT);
    // What was typed while the model answered is on the line already.
    this.#readline.prompt(true);
  }

  #interrupt(): void {
    if (this.#answering !== null) {
      this.#answering.abort();
      return;
    }
    const wasEmpty = this.#readline.line === '' && !this.#inbox.isOpen;
    if (wasEmpty && this.#armed) {
      this.#readline.close();
      return;
    }
    this.#inbox.drop();
    this.#readline.write(null, { ctrl: true, name: 'e' });
    this.#readline.write(null, { ctrl: true, name: 'u' });
    this.#output.write('\n');
    this.#armed = wasEmpty;
    if (wasEmpty) this.#note('Ctrl-C once more leaves, as Ctrl-D does.');
    this.#prompt();
  }

  /** @returns whether the user leaves. */
  async #handle(message: string): Promise<boolean> {
    if (message.trim() === '') return false;
    try {
      if (!isCommand(message)) {
        await this.#answer(message);
        return false;
      }
      const { say, ask, leave } = runCommand(this.#session, message);
      if (say !== undefined) this.#note(say);
      if (ask !== undefined) await this.#answer(ask);
      return leave ?? false;
    } catch (error) {
      if (!(error instanceof NudgeError)) throw error;
      this.#output.write(`${styleText('red', error.message, { stream: this.#output })}\n`);
      return false;
    }
  }

  async #answer(message: string): Promise<void> {
    const output = this.#output;
    const waiting = new Waiting(output);
    let atLineStart = true;
    this.#answering = new AbortController();
    this.#gate.isShut = true;
    try {
      const reply = await this.#session.reply(message, {
        signal: this.#answering.signal,
        onText: (text) => {
          waiting.end();
          const shown = printable(text);
          output.write(shown);
          if (shown !== '') atLineStart = shown.endsWith('\n');
        },
        onDropped: (count) => {
          waiting.end();
          this.#note(droppedNote(this.#session, count));
        },
      });
      waiting.end();
      if (!atLineStart) output.write('\n');
      this.#noteEnd(reply);
    } finally {
      waiting.end();
      this.#gate.isShut = false;
      this.#answering = null;
    }
  }

  #noteEnd(reply: Reply): void {
    const { tokens, tokensPerSecond: speed, finishReason } = reply;
    const end = endNote(this.#session, reply);
    if (end !== null) this.#note(end);
    const count = `${tokens} token${tokens === 1 ? '' : 's'}`;
    const rate = speed === null ? '' : `, ${speed.toFixed(speed < 10 ? 1 : 0)} tokens/s`;
    this.#note(`${finishReason === 'cancelled' ? 'stopped after ' : ''}${count}${rate}`);
    this.#output.write('\n');
  }

  #note(text: string): void {
    this.#output.write(`${this.#dim(text)}\n`);
  }

  #dim(text: string): string {
    return styleText('dim', text, { stream: this.#output });
  }
}

/** Says that the model reads, until it says something itself. */
class Waiting {
  readonly #output: NodeJS.WriteStream;
  #ended = false;

  constructor(output: NodeJS.WriteStream) {
    this.#output = output;
    output.write(styleText('dim', '…', { stream: output }));
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#output.write('\r\x1b[K');
  }
}

/** The terminal as the line editor sees it. Shut, it shows nothing: what is typed during an answer must not get into it. */
class Gate extends Writable {
  readonly isTTY = true;
  readonly #output: NodeJS.WriteStream;
  isShut = false;

  constructor(output: NodeJS.WriteStream) {
    super({ decodeStrings: false });
    this.#output = output;
    output.on('resize', () => this.emit('resize'));
  }

  get columns(): number {
    return this.#output.columns || 80;
  }

  get rows(): number {
    return this.#output.rows || 24;
  }

  override _write(chunk: string | Uint8Array, _encoding: BufferEncoding, done: () => void): void {
    if (!this.isShut) this.#output.write(chunk);
    done();
  }
}

/** Tab after a slash. */
function completer(line: string): [string[], string] {
  if (!line.startsWith('/')) return [[], line];
  const names = [...Object.keys(CHAT_COMMANDS).map((name) => `/${name}`), QUOTES];
  return [names.filter((name) => name.startsWith(line)), line];
}
