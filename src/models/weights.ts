/** Which tensor of a file belongs to which parameter of a model, decided before memory is spent. */
import { NudgeError } from '../errors.ts';
import type { Parameter } from '../nn/index.ts';
import { quoteSome, showShape } from './files/index.ts';
import type { CausalModel } from './model.ts';

export interface WeightInfo {
  readonly shape: readonly number[];
  /** As the file spells it, for errors. */
  readonly dtype: string;
  readonly isFloatingPoint: boolean;
}

/** An open file of weights, whatever its format. */
export interface WeightSource {
  /** Shown in errors. */
  readonly path: string;
  /** By name, in the order that is fastest to read. */
  readonly tensors: ReadonlyMap<string, WeightInfo>;
  /** Reads a tensor into a parameter of its shape, in the parameter's dtype and on its device. */
  read(name: string, into: Parameter): Promise<void>;
}

/** What belongs together, and what is left over on either side. */
export interface WeightPlan {
  /** Names in the file -> names of parameters, in the file's order. */
  readonly matched: ReadonlyMap<string, string>;
  /** Parameters without a tensor. */
  readonly missing: readonly string[];
  /** Tensors without a parameter. */
  readonly unexpected: readonly string[];
}

export interface PlanOptions {
  /** A tensor's name in the file -> the parameter's; null for what is not a weight. */
  rename(name: string): string | null;
  /** Parameters that may be missing; they keep what they were made with. */
  optional(parameter: string): boolean;
  /** Tensors that are known and not needed. */
  ignored(parameter: string): boolean;
  /** Whether missing and unexpected tensors are errors. Shapes must fit either way. */
  strict: boolean;
}

/**
 * Matches a file with a model (which may be on the `meta` device, where it takes no memory).
 *
 * @throws NudgeError BAD_FILE that reports missing, unexpected and misshapen tensors together.
 */
export function planWeights(model: CausalModel, source: WeightSource, options: PlanOptions): WeightPlan {
  const parameters = new Map(model.namedParameters());
  const aliases = tiedNames(model);
  const present = new Set([...source.tensors.keys()].map(options.rename));
  const matched = new Map<string, string>();
  const taken = new Set<string>();
  const unexpected: string[] = [];
  const misfits: string[] = [];
  for (const [tensor, info] of source.tensors) {
    const renamed = options.rename(tensor);
    if (renamed === null) continue;
    const first = aliases.get(renamed);
    // A tied tensor that the file holds under both names is read once, under the first.
    if (first !== undefined && present.has(first)) continue;
    const name = first ?? renamed;
    const parameter = parameters.get(name);
    if (parameter === undefined) {
      if (!options.ignored(renamed)) unexpected.push(tensor);
    } else if (!fits(info, parameter)) {
      misfits.push(`${tensor} is ${info.dtype} ${showShape(info.shape)}, not ${showShape(parameter.shape)}`);
      taken.add(name);
    } else {
      matched.set(tensor, name);
      taken.add(name);
    }
  }
  const missing = [...parameters.keys()].filter((name) => !taken.has(name) && !options.optional(name));
  refuse({ missing, unexpected, misfits }, source, options.strict);
  return { matched, missing, unexpected };
}

/** The second name of a tied parameter -> its first. */
function tiedNames(model: CausalModel): ReadonlyMap<string, string> {
  const aliases = new Map<string, string>();
  if (model.lm_head === null) return aliases;
  const { weight } = model.lm_head;
  for (const [name, parameter] of model.namedParameters()) {
    if (parameter === weight && name !== 'lm_head.weight') aliases.set('lm_head.weight', name);
  }
  return aliases;
}

function fits({ shape, isFloatingPoint }: WeightInfo, parameter: Parameter): boolean {
  const wanted = parameter.shape;
  return isFloatingPoint && shape.length === wanted.length && shape.every((size, i) => size === wanted[i]);
}

interface Problems {
  missing: readonly string[];
  unexpected: readonly string[];
  misfits: readonly string[];
}

function refuse({ missing, unexpected, misfits }: Problems, source: WeightSource, strict: boolean): void {
  const said = [
    ...(misfits.length > 0 ? [`${misfits.slice(0, 5).join('; ')}${more(misfits, 5)}`] : []),
    ...(strict && missing.length > 0 ? [`${missing.length} missing: ${quoteSome(missing)}`] : []),
    ...(strict && unexpected.length > 0 ? [`${unexpected.length} unexpected: ${quoteSome(unexpected)}`] : []),
  ];
  if (said.length === 0) return;
  const isScorer = missing.includes('lm_head.weight') && source.tensors.has('score.weight');
  throw new NudgeError('BAD_FILE', 'These weights do not fit the architecture of config.json.', {
    path: source.path,
    expected: 'floating-point tensors of the names and shapes that config.json describes',
    received: said.join('; '),
    remedy: isScorer
      ? "This is a reward model: load it with { head: 'score' }."
      : 'Check that config.json belongs to these weights; { strict: false } loads what fits and draws the rest.',
  });
}

const more = (items: readonly string[], shown: number): string =>
  items.length > shown ? `; and ${items.length - shown} more` : '';
