/**
 * Who is who: policy, reference, value and reward model are views of models. With LoRA all four are one frozen base with
 * different adapters on; with full fine-tuning each is a model of its own.
 */
import { NudgeError } from '../../errors.ts';
import { type CausalModel, type LoraAdapter, LoraAdapters } from '../../models/index.ts';
import type { Parameter } from '../../nn/index.ts';
import { layerOf } from '../layers.ts';

/** A model with one of its adapters on; null: as it stands. */
export interface ModelView {
  readonly model: CausalModel;
  readonly adapter: string | null;
}

/** The models of PPO; what scores comes as reward functions. */
export interface PpoModels {
  /** What is trained: its adapter, or all weights of the model that require a gradient. */
  readonly policy: ModelView;
  /** Where the policy must stay near: with LoRA the base alone, `{ model, adapter: null }`. Never trained. */
  readonly reference: ModelView;
  /** Puts a value on each token. Trained like the policy; needs a score head. */
  readonly value: ModelView;
}

/** Runs `fn`, which must be synchronous, with the view's adapter on. */
export function withView<T>({ model, adapter }: ModelView, fn: () => T): T {
  return model.adapters === null ? fn() : model.adapters.withAdapter(adapter, fn);
}

/** The adapter behind a view; null where it has none. @throws NudgeError BAD_ARGUMENT for an unknown name. */
export function adapterOf({ model, adapter }: ModelView): LoraAdapter | null {
  if (adapter === null) return null;
  if (model.adapters instanceof LoraAdapters) return model.adapters.get(adapter);
  throw new NudgeError('BAD_ARGUMENT', 'The model has no adapters.', {
    received: JSON.stringify(adapter),
    remedy: 'Make them: new LoraAdapters(model).add(name).',
  });
}

/** What training the view changes, by name: the adapter's weights, or the model's that require a gradient. */
export function trainedParameters(view: ModelView): [name: string, parameter: Parameter][] {
  const all = (adapterOf(view) ?? view.model).namedParameters();
  return [...all].filter(([, { requiresGrad }]) => requiresGrad);
}

/**
 * How many of the lowest layers do for this view what the base does, and are not trained by it: 0 for a model that is trained
 * itself, the layers below the first adapted one, all for a base alone.
 */
export function sharedLayers(view: ModelView): number {
  const { layers } = view.model.config;
  const adapter = adapterOf(view);
  if (adapter === null) return view.model.adapters === null ? 0 : layers;
  return Math.min(layers, ...Object.keys(adapter.pairs).map((name) => Math.max(0, layerOf(name))));
}

/** @throws NudgeError BAD_ARGUMENT where the three cannot be what they are to be. */
export function checkModels({ policy, reference, value }: PpoModels): void {
  const refuse = (summary: string, path: string, remedy: string) => {
    throw new NudgeError('BAD_ARGUMENT', summary, { path: `models.${path}`, remedy });
  };
  const isSame = (a: ModelView, b: ModelView) => a.model === b.model && a.adapter === b.adapter;
  if (isSame(policy, reference)) {
    refuse('Policy and reference are the same.', 'reference', 'Leave the adapter off, or load the model once more.');
  }
  if (isSame(policy, value)) refuse('Policy and value model are the same.', 'value', 'Give it an adapter of its own.');
  for (const [role, view] of Object.entries({ policy, value })) {
    if (trainedParameters(view).length > 0) continue;
    refuse('There is nothing to train.', role, 'Name one of its adapters, or make its weights require a gradient.');
  }
  for (const [role, { model }] of Object.entries({ policy, reference })) {
    if (model.lm_head === null) refuse('This model predicts no tokens.', role, "Load it with { head: 'lm' }.");
  }
  if ((adapterOf(value)?.score ?? value.model.score) === null) {
    refuse('The value model has no head.', 'value', "Make it with adapterModels, or load it with { head: 'value' }.");
  }
}
