import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { NudgeError } from '../errors.ts';
import type { BuiltinTemplateName } from '../text/index.ts';
import type { ChatSession } from './chat/session.ts';
import { addModelOptions, type ModelOptions, openModel, templateOption } from './pretrained.ts';
import { addSamplingOptions, CHAT_DEFAULTS, givenSettings, readNumber, type Settings } from './sampling.ts';

interface Options extends ModelOptions, Settings {
  system?: string;
  template?: BuiltinTemplateName;
  context?: number;
  stop?: string[];
  message?: string;
  json?: boolean;
}

const DEFAULT_MODEL = 'smollm2-135m-instruct';

/** `nudge chat`: a conversation with a model, on a terminal, by lines, or one question alone. */
export function registerChat(program: Command): void {
  const chat = program
    .command('chat')
    .description('talk with a model')
    .argument('[model]', `a name, a directory or a .gguf file (default: ${DEFAULT_MODEL})`)
    .option('--system <text>', 'the system message')
    .option('--message <text>', 'answer this message alone, and end')
    .addOption(templateOption())
    .option('--context <tokens>', 'how far the model looks back (default: as far as it can, up to 8192)', readNumber);
  addSamplingOptions(chat, CHAT_DEFAULTS);
  addModelOptions(chat).option('--json', 'print one JSON object an answer').addHelpText('after', EXAMPLES).action(run);
}

async function run(name: string | undefined, options: Options): Promise<void> {
  const { system, template, context, stop = [], message, json = false } = options;
  if (message?.trim() === '') {
    throw new NudgeError('BAD_ARGUMENT', 'The message is empty.', { path: '--message', expected: 'a text' });
  }
  const [{ resolveParameters }, { ChatSession }, { BASE_MODEL_NOTE }] = await Promise.all([
    import('../generate/index.ts'),
    import('./chat/session.ts'),
    import('./chat/notes.ts'),
  ]);
  // What cannot be is told before a model is fetched.
  resolveParameters({ ...givenSettings(options), stopStrings: stop });
  using pretrained = await openModel(name ?? DEFAULT_MODEL, options, { use: 'inference', head: 'lm' });
  using session = new ChatSession(pretrained, {
    settings: givenSettings(options),
    stopStrings: stop,
    system,
    template,
    contextTokens: context,
  });
  if (session.template === null) process.stderr.write(`${BASE_MODEL_NOTE}\n`);
  await talk(session, message, json);
}

async function talk(session: ChatSession, message: string | undefined, json: boolean): Promise<void> {
  const { stdin, stdout } = process;
  if (message === undefined && stdin.isTTY && stdout.isTTY && !json) {
    const { chatOnTerminal } = await import('./chat/terminal.ts');
    process.stderr.write('/help lists the commands, Ctrl-C stops an answer, Ctrl-D leaves.\n\n');
    return await chatOnTerminal(session, { input: stdin, output: stdout });
  }
  const { chatByLines } = await import('./chat/lines.ts');
  // A message on the command line is taken as it is, whatever it begins with.
  if (message !== undefined) return await chatByLines(session, [message], { json, commands: false });
  const lines = createInterface({ input: stdin, crlfDelay: Number.POSITIVE_INFINITY });
  await chatByLines(session, lines, { json, commands: true });
}

const EXAMPLES = `
Examples:
  nudge chat                                                 talk with SmolLM2, 135 M parameters
  nudge chat qwen2.5-0.5b-instruct --system 'Be brief.'      any model: nudge models list
  nudge chat ./my-model --adapter runs/first/policy          with a LoRA adapter
  nudge chat --message 'Why is the sky blue?' --temperature 0
  nudge chat --json < questions.txt                          a question a line, one conversation
  nudge chat ./base-model                                    a model without a chat template goes on with your text

On a terminal: /help, /params temperature 0.2, /system TEXT, /retry, /reset, /save FILE, /exit; """ begins and ends a message
of several lines. Where the model's authors recommend how to draw (generation_config.json), that comes before the defaults.
When the conversation gets too long, its oldest turns are left out, with a note.`;
