/** From a name or a path to a model with its tokenizer. */
import { NudgeError } from '../errors.ts';
import {
  type CausalModel,
  describeModel,
  GgufWeights,
  type HeadKind,
  loadModel,
  modelFromWeights,
  type OnEvent,
  openGguf,
  type ResolvedModel,
  resolveModel,
} from '../models/index.ts';
import { type Device, type DType, torch } from '../tensor/index.ts';
import {
  loadTokenizer,
  type PadChoice,
  type Tokenizer,
  type TokenizerOptions,
  tokenizerFromGguf,
} from '../text/index.ts';
import { chooseDtype, type ModelUse } from './dtype.ts';
import { choosePad } from './pad.ts';

export interface OpenOptions {
  /** Default `auto`: by the processor, the weights and `use`, see `chooseDtype`. */
  dtype?: DType | 'auto' | undefined;
  /** What the precision is chosen for: `inference` where completions are drawn and nothing else. Default `training`. */
  use?: ModelUse | undefined;
  /** Default: the CPU. */
  device?: Device | undefined;
  /** Default: what the weights were saved for. Another head than that is drawn anew. */
  head?: HeadKind | undefined;
  /** A branch, tag or commit on the hub. Default: `main`. */
  revision?: string | undefined;
  /** Fetch nothing. Default: whether NUDGE_OFFLINE or HF_HUB_OFFLINE is set. */
  offline?: boolean | undefined;
  /**
   * Which token pads. Default: the one that the files name; where that is missing or ends texts too, another that does no harm
   * (SmolLM2: `<|endoftext|>`). Where there is none, reading `tokenizer.padId` is an error that lists what to choose from.
   */
  pad?: PadChoice | undefined;
  /** Told how a download gets on. */
  onEvent?: OnEvent | undefined;
  /** Called after each tensor that was loaded. */
  onProgress?: ((progress: { tensors: number; total: number }) => void) | undefined;
}

/** A model that is ready to use; disposing it frees the weights. */
export interface Pretrained extends Disposable {
  readonly model: CausalModel;
  readonly tokenizer: Tokenizer;
  /** Where it came from: for messages and manifests. */
  readonly resolved: ResolvedModel;
}

/**
 * Opens any model: a short name, `owner/name` on the hub, a Hugging Face directory or a GGUF file (of a split one, any part).
 *
 *     using smol = await openPretrained('smollm2-135m-instruct');
 *     smol.model.logits(...); smol.tokenizer.encode('Hello');
 *
 * Quantised weights are dequantised to the dtype. The tokenizer is read first: a model without one fails at once.
 *
 * @throws NudgeError BAD_ARGUMENT for a CUDA device that is not here; what `resolveModel`, `loadTokenizer`, `tokenizerFromGguf` and `loadModel` throw.
 */
export async function openPretrained(nameOrPath: string, options: OpenOptions = {}): Promise<Pretrained> {
  const { revision, offline, onEvent, pad = choosePad, device = 'cpu', use = 'training', head, onProgress } = options;
  checkDevice(device);
  const resolved = await resolveModel(nameOrPath, { revision, offline, onProgress: onEvent });
  const { dtype: stored, parameters } = await describeModel(resolved);
  const asked = options.dtype ?? 'auto';
  const loading = {
    dtype: asked === 'auto' ? chooseDtype({ use, stored, parameters, device }) : asked,
    device,
    ...(head === undefined ? {} : { head }),
    ...(onProgress === undefined ? {} : { onProgress }),
  };
  const open = resolved.kind === 'gguf' ? openGgufModel : openDirectory;
  const { model, tokenizer } = await open(resolved.path, loading, { pad });
  return { model, tokenizer, resolved, [Symbol.dispose]: () => model.dispose() };
}

/** Before gigabytes are fetched: libtorch says the same late, and in many words. */
function checkDevice(device: Device): void {
  if (!device.startsWith('cuda') || torch.isAvailable(device)) return;
  throw new NudgeError('BAD_ARGUMENT', 'This device is not here.', {
    path: 'device',
    expected: torch.devices().join(', '),
    received: device,
    remedy: 'Run `nudge doctor`: it says whether libtorch was built for CUDA, and whether the driver shows a GPU.',
  });
}

type Loading = NonNullable<Parameters<typeof loadModel>[1]>;
type Opened = Pick<Pretrained, 'model' | 'tokenizer'>;

async function openDirectory(path: string, loading: Loading, options: TokenizerOptions): Promise<Opened> {
  const tokenizer = await loadTokenizer(path, options);
  return { model: await loadModel(path, loading), tokenizer };
}

async function openGgufModel(path: string, loading: Loading, options: TokenizerOptions): Promise<Opened> {
  await using file = await openGguf(path);
  const tokenizer = tokenizerFromGguf(file.metadata, path, options);
  await using weights = await GgufWeights.of(file);
  const model = await modelFromWeights(weights.config, weights, { ...loading, configPath: path });
  return { model, tokenizer };
}
