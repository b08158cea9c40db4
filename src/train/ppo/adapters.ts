/** The models of PPO as adapters of one frozen base. */
import * as z from 'zod';
import { NudgeError } from '../../errors.ts';
import type { CausalModel, LoraAdapter, LoraAdapters, LoraOptions } from '../../models/index.ts';
import { torch } from '../../tensor/index.ts';
import { LoraSettings, parseConfig } from '../config.ts';
import { layerOf } from '../layers.ts';
import { Trainable } from '../trainable.ts';
import type { PpoModels } from './view.ts';

const layers = (what: string) => z.int().min(1).optional().describe(`Adapts the last so many layers of ${what} only.`);

/** How policy and value adapter are made. */
export const AdapterModelsConfig = z.strictObject({
  lora: LoraSettings.prefault({}).describe("The policy's adapter, and the value model's where it starts from scratch."),
  layersToTrain: layers('the policy').describe(
    'Adapts the last so many layers of the policy only. What the base makes of those below is then computed once a step, for all ' +
      'models and epochs: a third of the layers costs less than half of all. Default: all.',
  ),
  valueLayersToTrain: layers('the value model').describe(
    'The same for the value model; where it starts from a reward model, the rest of that adapter is left out. Default: as layersToTrain.',
  ),
  seed: z.int().min(0).default(0).describe('Draws the fresh adapters.'),
});

export interface AdapterModelsInput extends z.input<typeof AdapterModelsConfig> {
  /**
   * The reward model's adapter, with whose weights and head the value model starts (Huang et al., 2403.17031). null, the default:
   * from scratch, with a head that says 0 everywhere.
   */
  reward?: string | null;
}

/**
 * Policy and value model as adapters `policy` and `value` of one frozen base, and the base itself as the reference. Adapters of
 * these names that are there already are trained further: a policy that was trained before needs `startsAtReference: false`.
 *
 * @throws NudgeError BAD_ARGUMENT for a wrong configuration, or a reward adapter that is none.
 */
export function adapterModels(model: CausalModel, options: AdapterModelsInput = {}): PpoModels {
  const { reward = null, ...given } = options;
  const {
    lora,
    layersToTrain,
    valueLayersToTrain = layersToTrain,
    seed,
  } = parseConfig(AdapterModelsConfig, given, 'models');
  const make = (adapter: string, head: boolean, layersToTrain: number | undefined) =>
    Trainable.of(model, { lora, layersToTrain, seed, adapter, head });
  make('policy', false, layersToTrain);
  const adapters = model.adapters as LoraAdapters;
  if (!adapters.names.includes('value')) {
    if (reward === null) startAtZero(make('value', true, valueLayersToTrain).adapters!.get('value'));
    else addValueAdapter(adapters, 'value', { from: reward, layers: valueLayersToTrain ?? model.config.layers });
  }
  return {
    policy: { model, adapter: 'policy' },
    reference: { model, adapter: null },
    value: { model, adapter: 'value' },
  };
}

/** The projections of the last layers, as targets for an adapter: `lora.add('policy', { targets: topLayers(lora, 10) })`. */
export function topLayers(lora: LoraAdapters, count: number): string[] {
  const first = lora.model.config.layers - count;
  return [...lora.projections.keys()].filter((name) => Math.max(0, layerOf(name)) >= first);
}

export interface ValueAdapterOptions extends Omit<LoraOptions, 'head' | 'targets'> {
  /** The adapter of a reward model to copy, or null to start from scratch, with a head that says 0 everywhere. */
  from: string | null;
  /** Adapts the last so many layers only. Default: all. */
  layers?: number;
}

/** Makes the value model's adapter. Of one that is copied, the part below `layers` is left out. */
export function addValueAdapter(lora: LoraAdapters, name: string, options: ValueAdapterOptions): LoraAdapter {
  const { from, layers = lora.model.config.layers, ...settings } = options;
  const top = topLayers(lora, layers);
  if (from === null) return startAtZero(lora.add(name, { ...settings, targets: top, head: true }));
  const reward = lora.get(from);
  const { score } = reward;
  if (score === null) {
    throw new NudgeError('BAD_ARGUMENT', 'A value model can only start from an adapter with a score head.', {
      path: 'addValueAdapter.from',
      received: JSON.stringify(from),
      remedy: 'Name the adapter of a reward model.',
    });
  }
  const adapted = top.filter((projection) => Object.hasOwn(reward.pairs, projection));
  const value = lora.addOn(name, adapted, { ...reward.config, head: true });
  value.score!.loadStateDict(score.stateDict());
  for (const projection of adapted) value.pairs[projection]!.loadStateDict(reward.pairs[projection]!.stateDict());
  return value;
}

function startAtZero(value: LoraAdapter): LoraAdapter {
  torch.noGrad(() => value.score!.weight.zero_());
  return value;
}
