/** Opening a model for a command: its options, and what is shown meanwhile. */
import { type Command, Option } from 'commander';
import { NudgeError } from '../errors.ts';
import type { CausalModel, HeadKind, OnEvent } from '../models/index.ts';
import type { ModelUse, Pretrained } from '../pretrained/index.ts';
import type { Device, DType } from '../tensor/index.ts';
import type { BuiltinTemplateName } from '../text/index.ts';
import { count } from './models.ts';

export interface ModelOptions {
  adapter?: string;
  dtype?: DType | 'auto';
  device?: string;
  revision?: string;
  offline?: boolean;
}

export function addModelOptions(command: Command): Command {
  return command
    .option('--adapter <dir>', "a LoRA adapter in PEFT's format, merged into the weights as they are loaded")
    .addOption(
      new Option('--dtype <dtype>', "the weights' precision in memory (default: what is fast on this machine)").choices(
        ['auto', 'float32', 'bfloat16', 'float16'],
      ),
    )
    .option('--device <device>', 'cpu, cuda or cuda:1', 'cpu')
    .option('--revision <revision>', 'a branch, tag or commit on the hub (default: main)')
    .option('--offline', 'fetch nothing');
}

/** By name, so that `--help` need not load what reads templates. */
const TEMPLATES = ['chatml', 'llama-3', 'zephyr'] as const satisfies readonly BuiltinTemplateName[];

export function templateOption(): Option {
  return new Option('--template <name>', "a built-in chat template in place of the model's own").choices(TEMPLATES);
}

/**
 * Opens a model, with its adapter merged into it. On a terminal stderr shows how far it is; in a log it says what was opened,
 * and how long it took.
 */
export async function openModel(
  name: string,
  options: ModelOptions,
  { use, head }: { use: ModelUse; head?: HeadKind },
): Promise<Pretrained> {
  const { adapter, dtype, device, revision, offline } = options;
  return await showingProgress(`opening ${name}`, async (onEvent, update) => {
    const { openPretrained } = await import('../pretrained/index.ts');
    const opened = await openPretrained(name, {
      use,
      head,
      dtype,
      device: device as Device | undefined,
      revision,
      offline,
      onEvent,
      onProgress: ({ tensors, total }) => update(`${tensors} of ${total} tensors`, tensors / total),
    });
    if (adapter !== undefined) await mergeAdapter(opened, adapter);
    return opened;
  });
}

/** Whether signals are listened for already. */
let endsChildren = false;

type Update = (detail: string, share: number) => void;

async function showingProgress(
  label: string,
  work: (onEvent: OnEvent, update: Update) => Promise<Pretrained>,
): Promise<Pretrained> {
  const [{ Progress }, { endChildrenOnSignals }, { showOn }] = await Promise.all([
    import('../setup/progress.mjs'),
    import('../setup/run.mjs'),
    import('../models/hub/index.ts'),
  ]);
  // pip runs in a process group of its own, which Ctrl-C on a terminal does not reach.
  if (!endsChildren) endChildrenOnSignals();
  endsChildren = true;
  const progress = new Progress(process.stderr);
  progress.begin(label);
  try {
    const opened = await work(showOn(progress), (detail, share) => progress.update(detail, share));
    const { id, name, path, explanation } = opened.resolved;
    progress.end(`${id === null ? path : `${name} ${explanation}`}, ${sized(opened.model)}`);
    return opened;
  } catch (error) {
    progress.stop();
    throw error;
  }
}

/** Memory for keys and values of so many positions; some blocks more, since sequences end within one. */
export function kvBytes({ config, dtype }: CausalModel, tokens: number): number {
  const { layers, kvHeads, headDim } = config;
  return 2 * layers * kvHeads * headDim * (dtype === 'float32' ? 4 : 2) * (tokens + 64);
}

/** For example "135 M parameters in bfloat16". */
function sized(model: CausalModel): string {
  return `${count(model.parameterCount())} parameters in ${model.dtype}`;
}

/** Adds an adapter to the weights; a reward adapter's head takes the place of the model's. */
async function mergeAdapter({ model }: Pretrained, directory: string): Promise<void> {
  const { LoraAdapters, loadAdapter } = await import('../models/index.ts');
  using lora = new LoraAdapters(model);
  const { score } = await loadAdapter(directory, lora, 'adapter');
  if (score !== null) {
    if (model.score === null) throw isForScores(directory);
    model.score.loadStateDict(score.stateDict());
  }
  lora.merge('adapter', { restorable: false });
}

function isForScores(directory: string): NudgeError {
  return new NudgeError('BAD_ARGUMENT', 'This adapter belongs to a reward model: it scores texts and writes none.', {
    path: directory,
    expected: 'an adapter without a score head',
  });
}
