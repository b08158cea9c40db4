/** What a model's authors recommend for drawing from it: generation_config.json. */
import { resolveParameters } from '../../generate/index.ts';
import type { Settings } from '../sampling.ts';

const FIELDS = {
  temperature: 'temperature',
  topP: 'top_p',
  topK: 'top_k',
  minP: 'min_p',
  repetitionPenalty: 'repetition_penalty',
} as const satisfies Partial<Record<keyof Settings, string>>;

/** Numbers that can be used; `do_sample: false`, which many files say without meaning it, is not among them. */
export function recommendedSettings(text: string | undefined): Settings {
  const json: unknown = text === undefined ? {} : JSON.parse(text);
  const settings: Settings = {};
  if (typeof json !== 'object' || json === null) return settings;
  for (const [name, field] of Object.entries(FIELDS) as [keyof typeof FIELDS, string][]) {
    const value = (json as Record<string, unknown>)[field];
    if (typeof value === 'number' && isUsable({ [name]: value })) settings[name] = value;
  }
  return settings;
}

function isUsable(settings: Settings): boolean {
  try {
    resolveParameters(settings);
    return true;
  } catch {
    return false;
  }
}
