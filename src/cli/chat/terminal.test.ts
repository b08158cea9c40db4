/** The chat as a user types it, over a tiny model that answers with random letters until it is stopped. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openPretrained, type Pretrained } from '../../pretrained/index.ts';
import { saveTinyModel, temporaryFolder } from '../testing/tiny.ts';
import { ChatSession, type SessionOptions } from './session.ts';
import { chatOnTerminal } from './terminal.ts';

const folder = temporaryFolder();
let pretrained: Pretrained;
beforeAll(async () => {
  await saveTinyModel(join(folder.path, 'tiny'), { maxPositions: 4096, generation: { top_k: 5, top_p: 7 } });
  pretrained = await openPretrained(join(folder.path, 'tiny'));
});
afterAll(() => {
  pretrained[Symbol.dispose]();
  folder[Symbol.dispose]();
});

/** A terminal to type on and to look at. */
class FakeTerminal {
  readonly input = new PassThrough();
  readonly output = Object.assign(new PassThrough(), { columns: 80, rows: 24, isTTY: true }) as unknown as PassThrough &
    NodeJS.WriteStream;
  #screen = '';
  #seen = 0;

  constructor() {
    this.output.on('data', (text) => {
      this.#screen += text;
    });
  }

  get screen(): string {
    return stripVTControlCharacters(this.#screen);
  }

  type(keys: string): void {
    this.input.write(keys);
  }

  /** Types, and waits until something has come to the screen since the last time. @returns what came. */
  async expect(keys: string, pattern: RegExp): Promise<string> {
    this.type(keys);
    const news = () => this.screen.slice(this.#seen);
    for (let waited = 0; !pattern.test(news()); waited += 5) {
      if (waited > 10_000) throw new Error(`waited for ${pattern}, and saw:\n${news()}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const seen = news();
    this.#seen += seen.length;
    return seen;
  }
}

const CTRL_C = '\x03';
const CTRL_D = '\x04';
const ENTER = '\r';

/** Chats until `use` is done, which must have left. */
async function chatting(
  use: (terminal: FakeTerminal, session: ChatSession) => Promise<void>,
  options: SessionOptions = {},
): Promise<void> {
  const terminal = new FakeTerminal();
  using session = new ChatSession(pretrained, { settings: { seed: 1, maxTokens: 8 }, ...options });
  const ended = chatOnTerminal(session, terminal);
  await terminal.expect('', /> $/);
  await use(terminal, session);
  await ended;
}

describe('the chat on a terminal', () => {
  test('answers, says how fast, and leaves on Ctrl-D', async () => {
    await chatting(async (terminal, session) => {
      const shown = await terminal.expect(`Hello${ENTER}`, /> $/);
      expect(shown).toMatch(/Hello[\s\S]+\(Cut at 8 tokens; --max-tokens, or \/params max-tokens, allows more\.\)/);
      expect(shown).toMatch(/8 tokens, [\d.]+ tokens\/s/);
      expect(session.messageCount).toBe(2);
      terminal.type(CTRL_D);
    });
  });

  test('Ctrl-C stops an answer and not the program; what was said so far stays', async () => {
    await chatting(
      async (terminal, session) => {
        await terminal.expect(`Hello${ENTER}`, /Hello\s+…[\s\S]{12}/);
        await terminal.expect(CTRL_C, /stopped after \d+ tokens?[\s\S]*> $/);
        expect(session.messageCount).toBe(2);
        session.set('maxTokens', 4);
        await terminal.expect(`Go on${ENTER}`, /4 tokens,[\s\S]*> $/);
        await terminal.expect(`/exit${ENTER}`, /\/exit/);
      },
      // Without the end of a turn it would go on for long.
      { settings: { seed: 1, maxTokens: 4000, temperature: 2 } },
    );
  });

  test('Ctrl-C at the prompt clears the line, and twice leaves', async () => {
    await chatting(async (terminal, session) => {
      await terminal.expect('half a mess', /half a mess$/);
      expect(await terminal.expect(CTRL_C, /> $/)).not.toContain('once more');
      await terminal.expect(CTRL_C, /Ctrl-C once more leaves[\s\S]*> $/);
      // Anything else in between counts.
      await terminal.expect(`/params seed${ENTER}`, /seed 1 \(yours\)[\s\S]*> $/);
      await terminal.expect(CTRL_C, /Ctrl-C once more leaves[\s\S]*> $/);
      expect(session.messageCount).toBe(0);
      terminal.type(CTRL_C);
    });
  });

  test('what is typed during an answer stays out of it, and is there afterwards', async () => {
    await chatting(
      async (terminal) => {
        await terminal.expect(`Hello${ENTER}`, /Hello\s+…[\s\S]{12}/);
        terminal.type('typed ahead');
        const shown = await terminal.expect(CTRL_C, /> typed ahead$/);
        expect(shown.slice(0, shown.indexOf('stopped'))).not.toContain('typed');
        await terminal.expect(CTRL_C, /> $/);
        terminal.type(CTRL_D);
      },
      { settings: { seed: 1, maxTokens: 4000, temperature: 2 } },
    );
  });

  test('a message of several lines', async () => {
    await chatting(async (terminal, session) => {
      await terminal.expect(`"""one${ENTER}`, /… $/);
      await terminal.expect(`two"""${ENTER}`, /tokens\/s[\s\S]*> $/);
      expect(session.transcript()).toMatchObject({ messages: [{ role: 'user', content: 'one\ntwo' }, {}] });
      await terminal.expect(`"""thr${ENTER}`, /… $/);
      await terminal.expect(CTRL_C, /> $/);
      terminal.type(CTRL_D);
    });
  });

  test('/params shows where each value comes from, sets, takes back, and refuses with the range', async () => {
    await chatting(async (terminal, session) => {
      const table = await terminal.expect(`/params${ENTER}`, /> $/);
      expect(table).toMatch(/temperature +0\.3 \(default\) +how freely/);
      // generation_config.json says top_k 5, and top_p 7, which cannot be.
      expect(table).toMatch(/top-k +5 \(the model's\)/);
      expect(table).toMatch(/top-p +0\.9 \(default\)/);
      expect(table).toMatch(/max-tokens +8 \(yours\)/);
      await terminal.expect(`/params temperature 1.5${ENTER}`, /temperature 1\.5 \(yours\)[\s\S]*> $/);
      await terminal.expect(`/params top_k=3${ENTER}`, /top-k 3 \(yours\)[\s\S]*> $/);
      await terminal.expect(`/params topK default${ENTER}`, /top-k 5 \(the model's\)[\s\S]*> $/);
      expect(await terminal.expect(`/params top-p 2${ENTER}`, /> $/)).toMatch(
        /expected: a number above 0, up to 1\s+received: 2/,
      );
      expect(await terminal.expect(`/params top-p high${ENTER}`, /> $/)).toMatch(/top-p is a number/);
      expect(await terminal.expect(`/params heat 2${ENTER}`, /> $/)).toMatch(
        /no parameter heat[\s\S]*temperature, top-p/,
      );
      expect(session.settings).toMatchObject({ temperature: 1.5, topK: 5, topP: 0.9 });
      terminal.type(CTRL_D);
    });
  });

  test('/system, /reset and /retry', async () => {
    await chatting(async (terminal, session) => {
      await terminal.expect(`/system${ENTER}`, /There is no system message[\s\S]*> $/);
      await terminal.expect(`/system Be brief.${ENTER}`, /From now on[\s\S]*> $/);
      await terminal.expect(`/system${ENTER}`, /Be brief\.\s+> $/);
      expect(await terminal.expect(`/retry${ENTER}`, /> $/)).toMatch(/Nothing was asked yet/);
      await terminal.expect(`Hello${ENTER}`, /tokens\/s[\s\S]*> $/);
      const [, , first] = (session.transcript() as { messages: { content: string }[] }).messages;
      session.set('seed', 2);
      await terminal.expect(`/retry${ENTER}`, /tokens\/s[\s\S]*> $/);
      const { messages, answers } = session.transcript() as { messages: { content: string }[]; answers: unknown[] };
      expect(messages).toMatchObject([
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Hello' },
        { role: 'assistant' },
      ]);
      expect(answers).toMatchObject([{ seed: 2 }]);
      expect(messages[2]!.content).not.toBe(first!.content);
      await terminal.expect(`/reset${ENTER}`, /Forgotten[\s\S]*> $/);
      expect(session.messageCount).toBe(0);
      expect(session.system).toBe('Be brief.');
      await terminal.expect(`/system off${ENTER}`, /No system message[\s\S]*> $/);
      expect(session.system).toBeNull();
      terminal.type(CTRL_D);
    });
  });

  test('/save writes the conversation, and over nothing unasked', async () => {
    const path = join(folder.path, 'saved.json');
    await chatting(async (terminal, session) => {
      await terminal.expect(`Hello${ENTER}`, /tokens\/s[\s\S]*> $/);
      await terminal.expect(`/save ${path}${ENTER}`, /Saved 2 messages[\s\S]*> $/);
      expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(JSON.parse(JSON.stringify(session.transcript())));
      writeFileSync(path, 'precious');
      expect(await terminal.expect(`/save ${path}${ENTER}`, /> $/)).toMatch(/There is a file already[\s\S]*--force/);
      expect(readFileSync(path, 'utf8')).toBe('precious');
      await terminal.expect(`/save ${path} --force${ENTER}`, /Saved[\s\S]*> $/);
      expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ answers: [{ seed: 1, parameters: { topK: 5 } }] });
      expect(await terminal.expect(`/save${ENTER}`, /> $/)).toMatch(/Where to\?/);
      expect(existsSync(join(process.cwd(), '--force'))).toBe(false);
      terminal.type(CTRL_D);
    });
  });

  test('/help lists what there is; an unknown command says so; Tab completes', async () => {
    await chatting(async (terminal) => {
      expect(await terminal.expect(`/help${ENTER}`, /> $/)).toMatch(/\/params[\s\S]*\/save FILE[\s\S]*\/exit/);
      expect(await terminal.expect(`/hlp${ENTER}`, /> $/)).toMatch(/no command \/hlp[\s\S]*Put a space before/);
      await terminal.expect('/para\t', /\/params$/);
      terminal.type(`${CTRL_C}${CTRL_D}`);
    });
  });

  test('a conversation that outgrows the context goes on, with a note', async () => {
    await chatting(
      async (terminal, session) => {
        let shown = '';
        for (let turn = 0; turn < 6; turn++)
          shown += await terminal.expect(`Question ${turn}${ENTER}`, /tokens\/s[\s\S]*> $/);
        expect(shown).toMatch(
          /\(The 2 oldest messages no longer fit into 96 tokens: the model does not see them any more\.\)/,
        );
        expect(session.messageCount).toBe(12);
        expect(await terminal.expect(`${'1 2 3 '.repeat(30)}${ENTER}`, /> $/)).toMatch(/too long for the model/);
        // The message that was refused is not part of the conversation.
        expect(session.messageCount).toBe(12);
        terminal.type(CTRL_D);
      },
      { contextTokens: 96 },
    );
  });
});
