/** Which weights are trained: an adapter's or the model's own, of all layers or of the last ones. */
import { NudgeError } from '../errors.ts';
import { type CausalModel, LoraAdapters, type ResolvedModel, saveAdapter, saveModel } from '../models/index.ts';
import type { Parameter } from '../nn/index.ts';
import { companionFiles } from '../pretrained/index.ts';
import type { Tokenizer } from '../text/index.ts';
import type { TrainingSettings } from './config.ts';
import { layerOf } from './layers.ts';
import { generatorFor } from './random.ts';

export interface TrainableOptions extends Pick<TrainingSettings, 'lora' | 'layersToTrain' | 'seed'> {
  /** The adapter's name. One that is there already is trained further. */
  adapter: string;
  /** Whether the adapter gets a score head of its own. Default false. */
  head?: boolean;
}

/** The weights under training, and the model with them switched on. */
export class Trainable {
  readonly model: CausalModel;
  /** null where the model's own weights are trained. */
  readonly adapters: LoraAdapters | null;
  readonly adapter: string | null;
  readonly parameters: readonly (readonly [name: string, parameter: Parameter])[];

  private constructor(model: CausalModel, adapters: LoraAdapters | null, options: TrainableOptions) {
    this.model = model;
    this.adapters = adapters;
    this.adapter = adapters === null ? null : options.adapter;
    const named =
      adapters === null ? ownParameters(model, options.layersToTrain) : adapters.get(options.adapter).namedParameters();
    this.parameters = [...named];
    for (const [, parameter] of this.parameters) parameter.requiresGrad = true;
  }

  /** Adds the adapter, or thaws the weights to be trained. Everything else is frozen. */
  static of(model: CausalModel, options: TrainableOptions): Trainable {
    checkLayers(model, options.layersToTrain);
    if (options.lora === null) {
      if (model.adapters !== null) {
        throw new NudgeError('BAD_ARGUMENT', 'Only one of the two can be trained: the model or its adapters.', {
          path: 'lora',
          expected: 'a model without adapters',
          received: 'lora: null, and a model with adapters',
          remedy: 'Merge and dispose of the adapters first, or train an adapter.',
        });
      }
      model.requiresGrad_(false);
      return new Trainable(model, null, options);
    }
    const adapters = (model.adapters as LoraAdapters | null) ?? new LoraAdapters(model);
    if (!adapters.names.includes(options.adapter)) addAdapter(model, adapters, options);
    return new Trainable(model, adapters, options);
  }

  /** The first layer of which something is trained; what goes into it does not change. */
  get firstLayer(): number {
    const { layers } = this.model.config;
    const below = this.parameters.map(([name]) => (isAboveLayers(name) ? layers : Math.max(0, layerOf(name))));
    return Math.min(layers, ...below);
  }

  /** Runs `fn` with the adapter that is trained. */
  use<T>(fn: () => T): T {
    return this.adapters === null ? fn() : this.adapters.withAdapter(this.adapter, fn);
  }

  /** Runs `fn` as `use` does, with dropout. */
  training<T>(fn: () => T): T {
    this.model.train();
    try {
      return this.use(fn);
    } finally {
      this.model.eval();
    }
  }

  /**
   * Writes the adapter in PEFT's format, or the model in transformers'. Replaces what is in the directory.
   *
   * @param from what the model was opened with: the tokenizer goes with a model.
   */
  async save(
    directory: string,
    from: { tokenizer: Tokenizer; resolved?: ResolvedModel | undefined },
  ): Promise<string[]> {
    if (this.adapters === null) {
      const { tokenizer, resolved } = from;
      const files = resolved === undefined ? new Map() : companionFiles({ tokenizer, resolved });
      return await saveModel(directory, this.model, { overwrite: true, files });
    }
    return await saveAdapter(directory, this.adapters, this.adapter!, { overwrite: true });
  }
}

function addAdapter(model: CausalModel, adapters: LoraAdapters, options: TrainableOptions): void {
  const { lora, layersToTrain, adapter, head = false, seed } = options;
  const generator = generatorFor(model.device, seed, 'adapter', adapter);
  const settings = { ...lora!, head, generator };
  if (layersToTrain === undefined) {
    adapters.add(adapter, settings);
    return;
  }
  const first = model.config.layers - layersToTrain;
  const { targets } = lora!;
  const chosen = [...adapters.projections.keys()].filter(
    (name) => layerOf(name) >= first && (targets === 'all-linear' || targets.some((end) => name.endsWith(`.${end}`))),
  );
  // Nothing chosen: `add` says what there is.
  if (chosen.length === 0) adapters.add(adapter, settings);
  else adapters.addOn(adapter, chosen, settings);
}

/** The model's own weights in the last layers, behind them, or all. */
function* ownParameters(model: CausalModel, layersToTrain?: number): Generator<readonly [string, Parameter]> {
  const first = model.config.layers - (layersToTrain ?? model.config.layers);
  for (const [name, parameter] of model.namedParameters()) {
    const layer = layerOf(name);
    const isChosen = layer >= 0 ? layer >= first : isAboveLayers(name);
    if (layersToTrain === undefined || isChosen) yield [name, parameter];
  }
}

/** Whether a parameter outside the layers comes behind them: the last norm and the head. */
const isAboveLayers = (name: string): boolean =>
  layerOf(name) < 0 && /(^|\.)(norm|ln_f|final_layer_norm|lm_head|embed_out|score)\./.test(name);

function checkLayers(model: CausalModel, layersToTrain: number | undefined): void {
  if (layersToTrain === undefined || layersToTrain <= model.config.layers) return;
  throw new NudgeError('BAD_ARGUMENT', 'The model has fewer layers than are to be trained.', {
    path: 'layersToTrain',
    expected: `at most ${model.config.layers}`,
    received: String(layersToTrain),
  });
}
