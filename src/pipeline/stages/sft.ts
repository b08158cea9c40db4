/** Supervised fine-tuning on good answers. */
import type { RecordsByFormat } from '../../data/index.ts';
import { NudgeError } from '../../errors.ts';
import { deriveSeed, type SftFormat, trainSft } from '../../train/index.ts';
import { forwardFlops } from '../estimate.ts';
import { readRows } from '../rows.ts';
import type { Stage, StageContext, StageResult } from '../stage.ts';
import { openBase } from './model.ts';
import { trainRun } from './training.ts';

export const sft: Stage = {
  name: 'sft',
  title: 'fine-tuning on good answers',
  version: 1,
  everyRound: false,
  config: ({ sft }) => sft && { ...sft, data: null },
  files: ({ sft }) => (sft === undefined ? [] : [sft.data]),
  inputs: () => [],
  summary: ({ loss = Number.NaN }) => `loss ${loss.toFixed(3)}`,
  estimate: ({ sft }, facts) => {
    const tokens = 500 * sft!.maxLength * sft!.numTrainEpochs;
    return { flops: 2 * forwardFlops(facts, tokens), efficiency: 0.5, bytes: 1.2e6 * sft!.microBatchTokens };
  },
  execute,
};

async function execute(context: StageContext): Promise<StageResult> {
  const { data, map, skipBadRows, ...config } = context.run.sft!;
  const loaded = await readRows(data, { map, skipBadRows }, context);
  if (loaded.format !== 'text' && loaded.format !== 'prompt-completion') {
    throw new NudgeError('BAD_FILE', 'Fine-tuning learns from answers.', {
      path: data,
      expected: 'rows with prompt and completion, or with messages',
      received: `rows of the format ${loaded.format}`,
    });
  }
  using base = await openBase(context);
  const { model, tokenizer, resolved } = base;
  const inputs = {
    model,
    tokenizer,
    resolved,
    format: loaded.format,
    train: loaded.records as RecordsByFormat[SftFormat][],
  };
  const result = await trainSft(inputs, { ...config, seed: deriveSeed(context.seed, config.seed) }, trainRun(context));
  if (result.stopped) return { metrics: {}, outputs: [], stopped: true };
  return {
    metrics: { steps: result.steps },
    outputs: ['adapter/adapter_model.safetensors', 'adapter/adapter_config.json'],
  };
}
