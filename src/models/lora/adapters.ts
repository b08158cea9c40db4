/**
 * Several named LoRA adapters over one frozen base: policy, reward and value share its weights, and the reference model is the
 * policy with its adapter off.
 */
import { NudgeError } from '../../errors.ts';
import type { Module } from '../../nn/index.ts';
import { type Tensor, torch } from '../../tensor/index.ts';
import { quoteSome } from '../files/index.ts';
import { ScoreHead } from '../heads.ts';
import type { AdapterSwitch, CausalModel } from '../model.ts';
import { isProjection, isStoredInputFirst, type Projection } from '../projection.ts';
import { LoraAdapter, LoraPair } from './adapter.ts';
import { isTarget, type LoraOptions, loraConfig } from './config.ts';
import { LoraProjection } from './projection.ts';

interface Slot {
  readonly parent: Module;
  readonly property: string;
  readonly projection: Projection;
}

/** A projection's weights before an adapter was merged into them. */
interface Merged {
  readonly name: string;
  /** By the projection's name; null when they were not kept. */
  readonly originals: ReadonlyMap<string, Tensor> | null;
}

/**
 *     const lora = new LoraAdapters(model);
 *     const policy = lora.add('policy', { rank: 16 });
 *     const optimizer = new AdamW(policy.parameters(), { lr: 1e-4 });
 *     const reference = lora.withoutAdapters(() => model.forward(ids, context));
 *
 * Making one freezes the model. The adapters' weights are not the model's: `model.parameters()` and `saveModel` go on without
 * them, and they follow neither its `to()` nor its `dispose()`.
 */
export class LoraAdapters implements AdapterSwitch, Disposable {
  readonly model: CausalModel;
  readonly #adapters = new Map<string, LoraAdapter>();
  readonly #slots: ReadonlyMap<string, Slot>;
  #active: LoraAdapter | null = null;
  #merged: Merged | null = null;

  constructor(model: CausalModel) {
    if (model.adapters !== null) throw refuse('The model has its adapters already.', 'Add to those: model.adapters.');
    this.model = model;
    this.#slots = findSlots(model);
    model.requiresGrad_(false);
    model.adapters = this;
  }

  get names(): string[] {
    return [...this.#adapters.keys()];
  }

  /** The adapter that takes part in forward passes. */
  get active(): string | null {
    return this.#active?.name ?? null;
  }

  get score(): ScoreHead | null {
    return this.#active?.score ?? null;
  }

  /** The projections that can have an adapter, by name. */
  get projections(): ReadonlyMap<string, Projection> {
    return new Map([...this.#slots].map(([name, { projection }]) => [name, projection]));
  }

  /** @throws NudgeError BAD_ARGUMENT for an unknown name. */
  get(name: string): LoraAdapter {
    const adapter = this.#adapters.get(name);
    if (adapter !== undefined) return adapter;
    throw new NudgeError('BAD_ARGUMENT', 'There is no adapter of this name.', {
      expected: this.names.length === 0 ? 'one that was added; there are none' : `one of ${quoteSome(this.names, 10)}`,
      received: JSON.stringify(name),
    });
  }

  /** Makes a fresh adapter, which changes nothing until it is trained. The first one becomes the active one. */
  add(name: string, options: LoraOptions = {}): LoraAdapter {
    const { targets } = loraConfig(options);
    const chosen = [...this.#slots.keys()].filter((projection) => isTarget(projection, targets));
    if (chosen.length === 0) {
      throw new NudgeError('BAD_ARGUMENT', 'No projection of the model is among the targets.', {
        path: 'lora.targets',
        expected: `some of ${quoteSome(distinctEnds([...this.#slots.keys()]), 12)}`,
        received: String(targets),
      });
    }
    return this.addOn(name, chosen, options);
  }

  /** Makes a fresh adapter on exactly these projections. */
  addOn(name: string, projections: readonly string[], options: LoraOptions = {}): LoraAdapter {
    if (this.#adapters.has(name))
      throw refuse(`There is an adapter ${JSON.stringify(name)} already.`, 'Remove it first.');
    const config = loraConfig(options);
    const adapter = torch.scope(() => {
      const pairs = projections.map((projection): [string, LoraPair] => {
        const slot = this.#slots.get(projection)!;
        return [projection, new LoraPair(slot.projection, config, options)];
      });
      const head = (options.head ?? this.model.score !== null) ? this.#makeHead(options) : null;
      return new LoraAdapter(name, config, Object.fromEntries(pairs), head);
    });
    for (const projection of projections) this.#occupy(projection);
    this.#adapters.set(name, adapter);
    if (this.#adapters.size === 1 && this.#merged === null) this.#active = adapter;
    return adapter;
  }

  /** Frees an adapter. */
  remove(name: string): void {
    const adapter = this.get(name);
    if (this.#merged?.name === name) throw refuse('This adapter is merged.', 'Unmerge it first.');
    if (this.#active === adapter) this.#active = null;
    this.#adapters.delete(name);
    adapter.dispose();
  }

  /** Which adapter takes part from now on; null for the base alone. */
  setAdapter(name: string | null): void {
    if (this.#merged !== null) throw refuse(`The adapter "${this.#merged.name}" is merged.`, 'Unmerge it first.');
    this.#active = name === null ? null : this.get(name);
  }

  /** Runs `fn`, which must be synchronous, with an adapter (null: none), and returns to the one before. */
  withAdapter<T>(name: string | null, fn: () => T): T {
    const before = this.active;
    if (name === before) return fn();
    this.setAdapter(name);
    try {
      const result = fn();
      if (typeof (result as { then?: unknown } | null)?.then !== 'function') return result;
      throw refuse('withAdapter got an async function, which the switch would not outlast.', 'Switch inside it.');
    } finally {
      this.setAdapter(before);
    }
  }

  /** Runs `fn` with the base alone: the reference model. */
  withoutAdapters<T>(fn: () => T): T {
    return this.withAdapter(null, fn);
  }

  /**
   * Adds an adapter's update to the base weights, rounded once, and switches to it: forward passes cost as much as without it,
   * and `saveModel` writes it. The adapter's head is not touched.
   *
   * @param options.restorable keeps the weights before, which `unmerge` puts back exactly. Default true; false saves their memory.
   */
  merge(name: string, options: { restorable?: boolean } = {}): void {
    const adapter = this.get(name);
    if (this.#merged !== null) throw refuse(`The adapter "${this.#merged.name}" is merged.`, 'Unmerge it first.');
    const originals = new Map<string, Tensor>();
    const restorable = options.restorable ?? true;
    for (const [name, pair] of Object.entries(adapter.pairs)) {
      const { projection } = this.#slots.get(name)!;
      if (restorable) originals.set(name, projection.weight.detach().keep());
      torch.scope(() => projection.weight.setData(torch.noGrad(() => mergedWeight(projection, pair))));
    }
    this.#merged = { name, originals: restorable ? originals : null };
    this.#active = adapter;
  }

  /** Puts the weights back that `merge` kept, bit for bit. The adapter stays active. */
  unmerge(): void {
    if (this.#merged === null) throw refuse('No adapter is merged.', 'Merge one first.');
    const { originals } = this.#merged;
    if (originals === null)
      throw refuse('The weights before merging were not kept.', 'Merge with { restorable: true }.');
    for (const [projection, original] of originals) {
      this.#slots.get(projection)!.projection.weight.setData(original);
      original.dispose();
    }
    this.#merged = null;
  }

  /** Frees every adapter, and gives the model its own projections back. What is merged stays merged. The base stays frozen. */
  dispose(): void {
    for (const original of this.#merged?.originals?.values() ?? []) original.dispose();
    this.#merged = null;
    this.#active = null;
    for (const adapter of this.#adapters.values()) adapter.dispose();
    this.#adapters.clear();
    for (const slot of this.#slots.values()) put(slot, slot.projection);
    this.model.adapters = null;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #occupy(name: string): void {
    const slot = this.#slots.get(name)!;
    const current = (slot.parent as unknown as Record<string, unknown>)[slot.property];
    if (current instanceof LoraProjection) return;
    put(
      slot,
      new LoraProjection(slot.projection, () => (this.#merged === null ? (this.#active?.pairs[name] ?? null) : null)),
    );
  }

  #makeHead({ generator }: LoraOptions): ScoreHead {
    const { score, config, device } = this.model;
    const head = new ScoreHead(config.hiddenSize, { device, ...(generator === undefined ? {} : { generator }) });
    if (score !== null) head.loadStateDict(score.stateDict());
    return head;
  }
}

/** W + scaling B A, summed in float32 and rounded once, in the layout of W. */
function mergedWeight(projection: Projection, pair: LoraPair): Tensor {
  const { weight } = projection;
  const product = pair.product().float(); // [out, in]
  const update = isStoredInputFirst(projection) ? product.t() : product; // as the weight
  return weight.float().add(update).to(weight.dtype); // as the weight
}

function findSlots(model: CausalModel): Map<string, Slot> {
  const modules = new Map(model.namedModules());
  const slots = new Map<string, Slot>();
  for (const [name, module] of modules) {
    if (!isProjection(module)) continue;
    const dot = name.lastIndexOf('.');
    slots.set(name, { parent: modules.get(name.slice(0, dot))!, property: name.slice(dot + 1), projection: module });
  }
  return slots;
}

function put({ parent, property }: Slot, projection: Projection): void {
  (parent as unknown as Record<string, Projection>)[property] = projection;
}

/** `q_proj` of `model.layers.0.self_attn.q_proj`, each once. */
function distinctEnds(names: readonly string[]): string[] {
  return [...new Set(names.map((name) => name.slice(name.lastIndexOf('.') + 1)))];
}

function refuse(summary: string, remedy: string): NudgeError {
  return new NudgeError('BAD_ARGUMENT', summary, { path: 'LoraAdapters', remedy });
}
