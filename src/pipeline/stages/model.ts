/** The model as a stage needs it: the pretrained one, fine-tuned where the run has that stage. */
import { join } from 'node:path';
import { type CausalModel, LoraAdapters, loadAdapter } from '../../models/index.ts';
import { openPretrained, type Pretrained } from '../../pretrained/index.ts';
import type { Tokenizer } from '../../text/index.ts';
import { type StageContext, stageId } from '../stage.ts';

export interface StageModel extends Disposable {
  readonly model: CausalModel;
  readonly tokenizer: Tokenizer;
  readonly resolved: Pretrained['resolved'];
  /** What the policy starts from is the base of all adapters here: with all of them off, it is the reference. */
  readonly lora: LoraAdapters;
}

/** Where stages keep the adapters that later ones read, in PEFT's format. */
export const ADAPTERS = { sft: 'adapter', reward: 'reward', policy: 'policy' } as const;

/** Opens the base of a run. What supervised fine-tuning learned is merged into it: it is the reference from there on. */
export async function openBase({ run, input, report }: StageContext): Promise<StageModel> {
  const { name, revision, dtype } = run.model;
  const opened = await openPretrained(name, {
    revision,
    dtype,
    use: 'training',
    onEvent: (event) => {
      if (event.type === 'note') report({ type: 'note', text: event.text });
    },
  });
  const { model, tokenizer, resolved } = opened;
  const tuned = input('sft');
  if (tuned !== null) {
    using lora = new LoraAdapters(model);
    await loadAdapter(join(tuned, ADAPTERS.sft), lora, 'sft');
    lora.merge('sft', { restorable: false });
  }
  const lora = new LoraAdapters(model);
  return {
    model,
    tokenizer,
    resolved,
    lora,
    [Symbol.dispose]() {
      lora.dispose();
      opened[Symbol.dispose]();
    },
  };
}

/** Adds the policy of the round before, which is where this round's answers come from. @returns whether there is one. */
export async function addPolicy({ round, input }: StageContext, lora: LoraAdapters): Promise<boolean> {
  const before = round > 1 ? input(stageId('ppo', round - 1)) : null;
  if (before === null) return false;
  await loadAdapter(join(before, ADAPTERS.policy), lora, 'policy');
  return true;
}
