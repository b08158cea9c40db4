/** `nudge run --dry-run`: what would be done, how long it takes, how much memory. */
import { resolve } from 'node:path';
import type { ModelFacts, RunConfig, StageName } from '../pipeline/index.ts';
import { seconds, size } from '../setup/progress.mjs';
import { table } from './table.ts';

export async function showPlan(
  config: RunConfig,
  { runs, json, until }: { runs: string; json?: boolean; until?: StageName },
): Promise<void> {
  const { planPipeline, estimatePlan } = await import('../pipeline/index.ts');
  const steps = await planPipeline(config, resolve(runs), until);
  const facts = await factsOf(config);
  const estimates = facts === null ? null : estimatePlan(config, steps, facts);
  const rows = steps.map(({ id, state, reason, directory, stage }, i) => ({
    id,
    title: stage.title,
    state,
    reason,
    seconds: estimates?.[i]?.seconds ?? null,
    bytes: estimates?.[i]?.bytes ?? null,
    directory,
  }));
  const total = estimates?.reduce((sum, { seconds }) => sum + seconds, 0) ?? null;
  const peak = estimates?.reduce((most, { bytes }) => Math.max(most, bytes), 0) ?? null;
  if (json) {
    process.stdout.write(`${JSON.stringify({ run: config.name, steps: rows, seconds: total, peakRssBytes: peak })}\n`);
    return;
  }
  const what = { done: 'done', resume: 'goes on', new: 'to do' } as const;
  const cells = rows.map(({ id, title, state, reason, seconds: time, bytes }) => [
    id,
    reason === null ? what[state] : `${what[state]} (${reason})`,
    state === 'done' || time === null ? '' : `about ${seconds(time * 1000)}`,
    state === 'done' || bytes === null ? '' : size(bytes),
    title,
  ]);
  process.stdout.write(`${config.name}: ${config.model.name}, seed ${config.seed}\n${table(cells)}\n`);
  process.stdout.write(
    total === null || peak === null
      ? 'Time and memory are unknown until the model is on this machine: `nudge models pull` fetches it.\n'
      : `About ${seconds(total * 1000)} and ${size(peak)}; good to a factor of two, since the length of answers is not known before.\n`,
  );
}

/** null where the model is not on this machine: a plan fetches nothing. */
async function factsOf({ model }: RunConfig): Promise<ModelFacts | null> {
  const { describeModel, resolveModel } = await import('../models/hub/index.ts');
  try {
    const resolved = await resolveModel(model.name, { revision: model.revision, offline: true });
    const { parameters, layers, hiddenSize, vocabulary } = await describeModel(resolved);
    return {
      parameters,
      layers: layers ?? 1,
      hiddenSize: hiddenSize ?? 1,
      vocabSize: vocabulary ?? 1,
      bytesPerWeight: model.dtype === 'bfloat16' || model.dtype === 'float16' ? 2 : 4,
    };
  } catch {
    return null;
  }
}
