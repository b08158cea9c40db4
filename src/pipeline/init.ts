/** The commented configuration of `nudge init`, and the JSON Schema by which editors complete and check it. */
import * as z from 'zod';
import { RunConfigSchema } from './config.ts';

/** What a new configuration sets; every other key is there as a comment, with its default. */
const CHOSEN = {
  name: 'my-run',
  model: 'smollm2-135m-instruct',
  seed: 1,
  prompts: { file: 'prompts.jsonl', training: 128, evaluation: 64 },
  sample: { numGenerations: 4, maxCompletionLength: 48 },
  label: { by: 'simulated' },
  reward: {},
  ppo: {},
  evaluate: {},
} as const;

const WIDTH = 110;

/** @param schemaPath where the JSON Schema lies, for editors. */
export function initialConfig(schemaPath: string): string {
  const head = [
    `# yaml-language-server: $schema=${schemaPath}`,
    '# Every key, with its default; take the # away to change one.',
    '',
  ];
  return [...head, ...renderObject(unwrap(RunConfigSchema) as z.ZodObject, CHOSEN, '', false)].join('\n').concat('\n');
}

export function jsonSchema(): object {
  return z.toJSONSchema(RunConfigSchema, { io: 'input', unrepresentable: 'any' });
}

function renderObject(
  schema: z.ZodObject,
  chosen: Readonly<Record<string, unknown>>,
  indent: string,
  off: boolean,
): string[] {
  return Object.entries(schema.shape).flatMap(([key, field]) => {
    const isChosen = Object.hasOwn(chosen, key);
    const mark = off || !isChosen ? '# ' : '';
    const inner = unwrap(field as z.ZodType);
    const comment = wrap(descriptionOf(field as z.ZodType)).map((line) => `${indent}# ${line}`);
    const own = chosen[key];
    if (
      inner instanceof z.ZodObject &&
      (typeof own === 'object' || (own === undefined && isSection(field as z.ZodType)))
    ) {
      const nested = renderObject(inner, (own ?? {}) as Record<string, unknown>, `${indent}  `, off || !isChosen);
      // A section whose keys are all comments would be null.
      const isEmpty = own !== undefined && Object.keys(own as object).length === 0;
      return ['', ...comment, `${indent}${mark}${key}:${isEmpty ? ' {}' : ''}`, ...nested];
    }
    const value = isChosen ? own : defaultOf(field as z.ZodType);
    return [...comment, `${indent}${mark}${key}: ${value === undefined ? '' : JSON.stringify(value)}`.trimEnd()];
  });
}

function isSection(field: z.ZodType): boolean {
  const inner = unwrap(field);
  return inner instanceof z.ZodObject && Object.keys(inner.shape).length > 0 && !(field instanceof z.ZodNullable);
}

function unwrap(schema: z.ZodType): z.ZodType {
  const { def } = schema as unknown as { def: { innerType?: z.ZodType; in?: z.ZodType } };
  const inner = def.innerType ?? def.in;
  return inner === undefined ? schema : unwrap(inner);
}

function defaultOf(field: z.ZodType): unknown {
  const parsed = field.safeParse(undefined);
  return parsed.success ? parsed.data : undefined;
}

function descriptionOf(field: z.ZodType): string {
  const { def } = field as unknown as { def: { innerType?: z.ZodType; in?: z.ZodType } };
  const inner = def.innerType ?? def.in;
  return field.description ?? (inner === undefined ? '' : descriptionOf(inner));
}

function wrap(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/).filter((word) => word !== '')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length + 1 > WIDTH) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
