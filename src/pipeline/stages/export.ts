/** The finished model in a form that others load. */
import { join } from 'node:path';
import { loadAdapter, saveAdapter, saveModel } from '../../models/index.ts';
import { companionFiles, savePretrainedGguf } from '../../pretrained/index.ts';
import { type Stage, type StageContext, type StageResult, stageId } from '../stage.ts';
import { ADAPTERS, openBase } from './model.ts';

export const exported: Stage = {
  name: 'export',
  title: 'the finished model',
  version: 1,
  everyRound: false,
  config: ({ export: exported }) => exported,
  files: () => [],
  inputs: (round) => ['sft', stageId('ppo', round)],
  summary: () => 'written',
  estimate: () => ({ flops: 0, efficiency: 1, bytes: 100e6 }),
  execute,
};

const SAVED_TYPES = { f32: 'F32', f16: 'F16', bf16: 'BF16', q8_0: 'Q8_0' } as const;

async function execute(context: StageContext): Promise<StageResult> {
  const { run, round, input, directory } = context;
  const { format, ggufType } = run.export!;
  using base = await openBase(context);
  const { model, lora, tokenizer, resolved } = base;
  const policy = input(stageId('ppo', round));
  if (policy !== null) await loadAdapter(join(policy, ADAPTERS.policy), lora, 'policy');
  if (format === 'peft') {
    await saveAdapter(join(directory, 'adapter'), lora, 'policy', { overwrite: true });
    return { metrics: {}, outputs: ['adapter/adapter_model.safetensors', 'adapter/adapter_config.json'] };
  }
  if (policy !== null) lora.merge('policy', { restorable: false });
  if (format === 'hf') {
    const files = companionFiles({ tokenizer, resolved });
    await saveModel(join(directory, 'model'), model, { overwrite: true, files });
    return { metrics: {}, outputs: ['model/config.json', 'model/model.safetensors'] };
  }
  await savePretrainedGguf(join(directory, 'model.gguf'), base, { type: SAVED_TYPES[ggufType], overwrite: true });
  return { metrics: {}, outputs: ['model.gguf'] };
}
