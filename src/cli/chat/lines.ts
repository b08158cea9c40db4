/** A chat without a terminal: a message a line, answers on stdout, notes on stderr. */
import { isCommand, runCommand } from './commands.ts';
import { droppedNote, endNote } from './notes.ts';
import type { ChatSession } from './session.ts';

export interface LinesOptions {
  json: boolean;
  /** Whether lines such as `/reset` are commands. */
  commands: boolean;
}

/** Answers each message in turn. @throws NudgeError at the first message or command that cannot be: a script should notice. */
export async function chatByLines(
  session: ChatSession,
  messages: AsyncIterable<string> | Iterable<string>,
  { json, commands }: LinesOptions,
): Promise<void> {
  for await (const line of messages) {
    if (line.trim() === '') continue;
    let message = line;
    if (commands && isCommand(line)) {
      const { say, ask, leave } = runCommand(session, line);
      if (leave) return;
      if (say !== undefined) process.stderr.write(`${say}\n`);
      if (ask === undefined) continue;
      message = ask;
    }
    await answer(session, message, json);
  }
}

async function answer(session: ChatSession, message: string, json: boolean): Promise<void> {
  const reply = await session.reply(message, {
    onDropped: (count) => process.stderr.write(`${droppedNote(session, count)}\n`),
    ...(json ? {} : { onText: (text: string) => process.stdout.write(text) }),
  });
  if (json) {
    const { name } = session.pretrained.resolved;
    process.stdout.write(
      `${JSON.stringify({ ok: true, model: name, message, ...reply, parameters: session.settings })}\n`,
    );
    return;
  }
  process.stdout.write('\n');
  const note = endNote(session, reply);
  if (note !== null) process.stderr.write(`${note}\n`);
}
