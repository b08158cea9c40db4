/** The options that say how tokens are chosen: the same for every command that draws completions. */
import { type Command, InvalidArgumentError } from 'commander';
import { NudgeError } from '../errors.ts';
import type { SamplingParameters } from '../generate/index.ts';

/** What a number on the command line sets. */
export const SETTINGS = {
  temperature: 'how freely to choose: 0 takes the likeliest token always, 1 is as the model was trained',
  topP: 'only the likeliest tokens that together have this share of the probability; 1 for all',
  topK: 'only the k likeliest tokens; 0 for all',
  minP: "only tokens with at least this share of the likeliest one's probability; 0 for all",
  repetitionPenalty: 'makes tokens that occurred less likely, prompt included; 1 for none',
  maxTokens: 'the longest completion, in tokens',
  seed: 'same seed, same completion; without one, a random seed each time',
} as const;

export type SettingName = keyof typeof SETTINGS;
export type Settings = Pick<SamplingParameters, SettingName>;

/** For a chat, where neither the user nor the model's authors say otherwise. */
export const CHAT_DEFAULTS = {
  temperature: 0.3,
  topP: 0.9,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  maxTokens: 1024,
} satisfies Settings;

export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];

/** `topP` as on the command line: `top-p`. */
export const flagName = (name: SettingName): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** The setting that a user means by `top-p`, `topP` or `top_p`. */
export function settingNamed(text: string): SettingName | undefined {
  const bare = (name: string) => name.toLowerCase().replace(/[-_]/g, '');
  return SETTING_NAMES.find((name) => bare(name) === bare(text));
}

/** Declares the options. @param defaults shown in the help; a setting without one has no value of its own. */
export function addSamplingOptions(command: Command, defaults: Settings): Command {
  for (const name of SETTING_NAMES) {
    const fallback = defaults[name] === undefined ? '' : ` (default: ${defaults[name]})`;
    command.option(`--${flagName(name)} <number>`, `${SETTINGS[name]}${fallback}`, readNumber);
  }
  return command.option('--stop <text>', 'a text that ends a completion; may be given several times', collect);
}

/** For options that are numbers. Ranges are checked where the numbers are used. */
export function readNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It is not a number.');
  return value;
}

export function collect(text: string, before: string[] = []): string[] {
  return [...before, text];
}

/** Those of the options that are settings. */
export function givenSettings(options: Settings): Settings {
  const given = SETTING_NAMES.filter((name) => options[name] !== undefined);
  return Object.fromEntries(given.map((name) => [name, options[name]]));
}

/** The number that a user typed. @throws NudgeError BAD_ARGUMENT where it is none; its range is checked where it is used. */
export function readSetting(name: SettingName, text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value)) return value;
  throw new NudgeError('BAD_ARGUMENT', `${flagName(name)} is a number.`, { received: JSON.stringify(text) });
}
