/** The column `nudge` of the store's files: what the format has no name for, enough to restore the judgement as it was. */
import { z } from 'zod';
import type { Content } from '../../../data/index.ts';
import type { Judgement, Labeller, NewTask, Task } from '../records.ts';
import { NewCompletionSchema, NewJudgementSchema, NewLabellerSchema } from '../records.ts';

const json = z.record(z.string(), z.unknown());
const { task: _t, labeller: _l, ...judgementFields } = NewJudgementSchema.shape;

export const SourceSchema = z.strictObject({
  version: z.literal(1),
  task: z.strictObject({ key: z.string(), extra: json }),
  promptExtra: json,
  completions: z.array(z.object(NewCompletionSchema.shape).omit({ content: true }).strict()),
  labeller: NewLabellerSchema,
  judgement: z.strictObject(judgementFields),
});

export type Source = z.output<typeof SourceSchema>;

export function sourceOf(task: Task, judgement: Judgement, labeller: Labeller): z.input<typeof SourceSchema> {
  const { id: _i, task: _t, labeller: _l, flags, ranks, displayedOrder, ...said } = judgement;
  const { kind, name, profile } = labeller;
  return {
    version: 1,
    task: { key: task.key, extra: task.extra },
    promptExtra: task.prompt.extra,
    completions: task.completions.map(({ id: _c, prompt: _p, content: _x, time: _m, tokenIds, logprobs, ...rest }) => ({
      ...rest,
      tokenIds: tokenIds === null ? null : [...tokenIds],
      logprobs: logprobs === null ? null : [...logprobs],
    })),
    labeller: { kind, name, profile },
    judgement: {
      ...said,
      ranks: ranks === null ? null : [...ranks],
      flags: [...flags],
      displayedOrder: displayedOrder === null ? null : [...displayedOrder],
    },
  };
}

/** The task that a row stands for. */
export function taskOf(source: Source, project: string, prompt: Content, contents: readonly Content[]): NewTask {
  return {
    project,
    prompt,
    promptExtra: source.promptExtra,
    completions: contents.map((content, i) => ({ ...source.completions[i], content })),
    ...source.task,
  };
}
