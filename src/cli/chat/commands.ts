/** What a user can say to the chat itself: `/params temperature 0.2`. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { NudgeError } from '../../errors.ts';
import { writeFileAtomic } from '../../setup/files.mjs';
import { flagName, readSetting, SETTING_NAMES, SETTINGS, settingNamed } from '../sampling.ts';
import type { ChatSession } from './session.ts';

/** What follows from a command: something to show, a message to answer, or the end. */
export interface Outcome {
  readonly say?: string;
  readonly ask?: string;
  readonly leave?: true;
}

interface ChatCommand {
  readonly usage: string;
  readonly description: string;
  run(session: ChatSession, argument: string): Outcome;
}

export const CHAT_COMMANDS: Readonly<Record<string, ChatCommand>> = {
  help: {
    usage: '/help',
    description: 'this list',
    run: () => ({ say: help() }),
  },
  params: {
    usage: '/params [NAME VALUE]',
    description: 'how answers are drawn; sets a value, or takes it back with `default`',
    run: params,
  },
  system: {
    usage: '/system [TEXT]',
    description: 'the system message; sets it, or removes it with `off`',
    run: system,
  },
  retry: {
    usage: '/retry',
    description: 'takes the last answer back and asks again',
    run: retry,
  },
  reset: {
    usage: '/reset',
    description: 'forgets what was said; the system message and the parameters stay',
    run: (session) => {
      session.reset();
      return { say: 'Forgotten. The system message and the parameters stay.' };
    },
  },
  save: {
    usage: '/save FILE [--force]',
    description: 'writes the conversation as JSON; --force replaces a file',
    run: save,
  },
  exit: {
    usage: '/exit',
    description: 'leaves, as Ctrl-D does',
    run: () => ({ leave: true }),
  },
};

/** Whether a line is meant for the chat and not for the model. A space before the slash makes it a message. */
export const isCommand = (line: string): boolean => /^\/[A-Za-z?]/.test(line);

/** @throws NudgeError BAD_ARGUMENT, and what saving ends in: for the user to read, the conversation is as before. */
export function runCommand(session: ChatSession, line: string): Outcome {
  const [, name = '', argument = ''] = /^\/(\S+)\s*([\s\S]*)$/.exec(line) ?? [];
  const command = Object.hasOwn(CHAT_COMMANDS, name) ? CHAT_COMMANDS[name] : ALIASES[name];
  if (command !== undefined) return command.run(session, argument.trim());
  throw new NudgeError('BAD_ARGUMENT', `There is no command /${name}.`, {
    expected: Object.keys(CHAT_COMMANDS)
      .map((known) => `/${known}`)
      .join(' '),
    remedy: 'Put a space before a message that begins with a slash.',
  });
}

const ALIASES: Readonly<Record<string, ChatCommand | undefined>> = {
  '?': CHAT_COMMANDS.help,
  quit: CHAT_COMMANDS.exit,
  bye: CHAT_COMMANDS.exit,
};

function help(): string {
  const lines = Object.values(CHAT_COMMANDS).map(({ usage, description }) => `${usage.padEnd(23)}${description}`);
  return [...lines, '', '""" begins and ends a message of several lines. Ctrl-C stops an answer.'].join('\n');
}

function params(session: ChatSession, argument: string): Outcome {
  const [given = '', text, ...rest] = argument.split(/[\s=]+/);
  if (given === '') return { say: table(session) };
  const name = settingNamed(given);
  if (name === undefined || rest.length > 0) {
    throw new NudgeError(
      'BAD_ARGUMENT',
      name === undefined ? `There is no parameter ${given}.` : 'One value at a time.',
      {
        expected: `/params NAME VALUE, NAME being ${SETTING_NAMES.map(flagName).join(', ')}`,
      },
    );
  }
  if (text !== undefined) session.set(name, text === 'default' ? undefined : readSetting(name, text));
  return { say: `${flagName(name)} ${shown(session, name)}` };
}

function table(session: ChatSession): string {
  return SETTING_NAMES.map((name) => {
    return `${flagName(name).padEnd(20)}${shown(session, name).padEnd(22)}${SETTINGS[name]}`;
  }).join('\n');
}

function shown(session: ChatSession, name: (typeof SETTING_NAMES)[number]): string {
  return `${session.settings[name] ?? 'random'} (${session.originOf(name)})`;
}

function system(session: ChatSession, argument: string): Outcome {
  if (argument === '') return { say: session.system === null ? 'There is no system message.' : session.system };
  session.system = argument === 'off' ? null : argument;
  return { say: argument === 'off' ? 'No system message from now on.' : 'From now on.' };
}

function retry(session: ChatSession): Outcome {
  const question = session.takeBack();
  if (question !== null) return { ask: question };
  throw new NudgeError('BAD_ARGUMENT', 'Nothing was asked yet.');
}

function save(session: ChatSession, argument: string): Outcome {
  const force = /(^|\s)--force$/.test(argument);
  const file = argument.replace(/\s*--force$/, '');
  if (file === '') throw new NudgeError('BAD_ARGUMENT', 'Where to?', { expected: '/save FILE' });
  const path = resolve(file.startsWith('~/') ? join(homedir(), file.slice(2)) : file);
  if (existsSync(path) && !force) {
    throw new NudgeError('FILE_EXISTS', 'There is a file already.', {
      path,
      remedy: `Choose another name, or replace it: /save ${file} --force`,
    });
  }
  try {
    writeFileAtomic(path, `${JSON.stringify(session.transcript(), null, 2)}\n`);
  } catch (error) {
    const received = error instanceof Error ? error.message : String(error);
    throw new NudgeError('IO_FAILED', 'The conversation could not be saved.', { path, received, cause: error });
  }
  return { say: `Saved ${session.messageCount} messages to ${path}` };
}
