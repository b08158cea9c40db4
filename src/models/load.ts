/** From a Hugging Face directory to a model. */
import type { Parameter } from '../nn/index.ts';
import { type Device, type DType, type Tensor, torch } from '../tensor/index.ts';
import { type ConfigJson, readConfigJson } from './config.ts';
import { copyInto, drawWeights } from './create.ts';
import { parseConfig } from './families/index.ts';
import type { CausalModel, HeadKind } from './model.ts';
import { openSafetensors, type SafetensorsReader, torchDtype } from './safetensors/index.ts';
import { planWeights, type WeightPlan, type WeightSource } from './weights.ts';

export interface LoadModelOptions {
  /** Default: as published, see `dtype` in config.json; float32 where that does not say. */
  dtype?: DType;
  /** Default: the CPU. */
  device?: Device;
  /**
   * Default: what the weights were saved for. Asking for `score` or `value` over a language model draws a new head, and leaves
   * the language model's out.
   */
  head?: HeadKind;
  /**
   * Whether missing and unexpected tensors are errors. Default true. With false, what is missing is drawn anew, what is
   * unexpected is left out, and a warning names both.
   */
  strict?: boolean;
  /** Called after each tensor. */
  onProgress?: (progress: { tensors: number; total: number }) => void;
}

/**
 * Loads a model from a directory with `config.json` and safetensors weights, in one file or in shards.
 *
 *     using model = await loadModel('models/SmolLM2-135M', { dtype: 'bfloat16' });
 *
 * Everything is checked from the configuration and the headers before memory is spent; then the peak is the model and its
 * largest tensor once more. The model is in evaluation mode, which only dropout notices.
 *
 * @throws NudgeError IO_FAILED; BAD_FILE for an unknown architecture, a configuration that is not supported, or weights that
 * do not fit it, with all missing, unexpected and misshapen tensors at once.
 */
export async function loadModel(directory: string, options: LoadModelOptions = {}): Promise<CausalModel> {
  const json = await readConfigJson(directory);
  // An unknown architecture is told before weights are looked for.
  parseConfig(json, `${directory}/config.json`);
  await using reader = await openSafetensors(directory);
  using source = new SafetensorsSource(reader);
  const model = await modelFromWeights(json, source, { ...options, configPath: `${directory}/config.json` });
  model.source = directory;
  return model;
}

/** Builds a model from a configuration and weights of any format. @param options.configPath shown in errors. */
export async function modelFromWeights(
  json: ConfigJson,
  source: WeightSource,
  options: LoadModelOptions & { configPath?: string } = {},
): Promise<CausalModel> {
  const { family, config } = parseConfig(json, options.configPath);
  const savedFor = savedHead(json);
  const { head = savedFor, device = 'cpu', dtype = config.dtype ?? 'float32', strict = true, onProgress } = options;
  const isForeign = (name: string) => name.startsWith(head === 'lm' ? 'score.' : 'lm_head.');
  // The offset of a score is ours: transformers' heads have none.
  const isOptional = (name: string) => name === 'score.bias' || (name === 'score.weight' && savedFor === 'lm');
  const planOptions = { rename: family.rename, optional: isOptional, ignored: isForeign, strict };
  const plan = torch.scope(() => {
    // On the meta device tensors have shapes and no memory.
    using skeleton = family.build(config, { head, dtype, device: 'meta' });
    return planWeights(skeleton, source, planOptions);
  });
  const model = torch.scope(() => family.build(config, { head, dtype, device }));
  try {
    const parameters = new Map(model.namedParameters());
    let tensors = 0;
    for (const [tensor, name] of plan.matched) {
      await source.read(tensor, parameters.get(name)!);
      onProgress?.({ tensors: ++tensors, total: plan.matched.size });
    }
    drawWeights(model, new Map(plan.missing.map((name) => [name, parameters.get(name)!])));
    warnOf(plan, source);
    return model.eval();
  } catch (error) {
    model.dispose();
    throw error;
  }
}

/** What transformers saved: a class for sequence classification has a score head. */
function savedHead(json: ConfigJson): HeadKind {
  const { architectures } = json;
  const isScorer = (name: unknown) => String(name).endsWith('ForSequenceClassification');
  return Array.isArray(architectures) && architectures.some(isScorer) ? 'score' : 'lm';
}

function warnOf({ missing, unexpected }: WeightPlan, { path }: WeightSource): void {
  const said = [
    ...(missing.length > 0 ? [`drew ${missing.length} missing tensors anew: ${missing.slice(0, 5).join(', ')}`] : []),
    ...(unexpected.length > 0 ? [`left ${unexpected.length} tensors out: ${unexpected.slice(0, 5).join(', ')}`] : []),
  ];
  if (said.length > 0) process.emitWarning(`${path}: ${said.join('; ')}`, { type: 'NudgeModelWarning' });
}

/**
 * Weights in safetensors files. One staging tensor, as large as the largest, is read into and copied from: the parameters'
 * own memory stays unseen by JavaScript, and so is freed with the model instead of with the next garbage collection.
 */
class SafetensorsSource implements WeightSource, Disposable {
  readonly path: string;
  readonly tensors: WeightSource['tensors'];
  readonly #reader: SafetensorsReader;
  readonly #largest: number;
  #staging: { tensor: Tensor; memory: Uint8Array } | null = null;

  constructor(reader: SafetensorsReader) {
    this.path = reader.path;
    this.#reader = reader;
    const infos = reader.names.map((name) => reader.info(name));
    const isFloatingPoint = (dtype: string) => /^(BF16|F(16|32|64|8_E.*))$/.test(dtype);
    this.tensors = new Map(
      infos.map(({ name, shape, dtype }) => [name, { shape, dtype, isFloatingPoint: isFloatingPoint(dtype) }]),
    );
    this.#largest = infos.reduce((most, { begin, end }) => Math.max(most, end - begin), 0);
  }

  async read(name: string, into: Parameter): Promise<void> {
    const { shape, dtype, begin, end } = this.#reader.info(name);
    const { tensor, memory } = this.#stage();
    await this.#reader.read(name, memory.subarray(0, end - begin));
    torch.scope(() =>
      copyInto(
        into,
        tensor
          .narrow(0, 0, end - begin)
          .view(torchDtype(dtype)!)
          .view(shape),
      ),
    );
  }

  [Symbol.dispose](): void {
    this.#staging?.tensor.dispose();
    this.#staging = null;
  }

  #stage(): { tensor: Tensor; memory: Uint8Array } {
    if (this.#staging !== null) return this.#staging;
    const tensor = torch.empty([this.#largest], { dtype: 'uint8' }).keep(); // [largest]
    const { buffer, byteOffset, byteLength } = tensor.map();
    this.#staging = { tensor, memory: new Uint8Array(buffer, byteOffset, byteLength) };
    return this.#staging;
  }
}
