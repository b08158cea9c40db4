/** Parameter groups: which parameters an optimiser trains, and with which numbers. */
import { NudgeError } from '../../errors.ts';
import { isParameter, type Parameter } from '../parameter.ts';

/** A group as the user writes it: parameters, and the options in which it differs from the optimiser's. */
export type GroupInput<Options> = Partial<Options> & {
  parameters: Iterable<Parameter | readonly [name: string, parameter: Parameter]>;
};

/** What an optimiser is built on: `module.parameters()`, `module.namedParameters()`, or groups of either. */
export type ParameterSource<Options> =
  | Iterable<Parameter | readonly [name: string, parameter: Parameter]>
  | Iterable<GroupInput<Options>>;

/** A group in use. The options may be changed between steps: `optimizer.groups[0].lr = 1e-4`. */
export type ParameterGroup<Options> = Options & {
  readonly parameters: readonly Parameter[];
  /** The parameters' names in a saved state: the given ones, or their positions among all parameters. */
  readonly names: readonly string[];
};

/** Fills each group up with the defaults. Throws BAD_ARGUMENT where there is nothing, or anything twice, to train. */
export function makeGroups<Options extends object>(
  source: ParameterSource<Options>,
  defaults: Options,
): ParameterGroup<Options>[] {
  const items: Item<Options>[] = [...source];
  const inputs = items.length > 0 && items.every(isGroup) ? items : [onlyGroup(items)];
  const seenParameters = new Set<Parameter>();
  const seenNames = new Set<string>();
  const groups = inputs.map(({ parameters: members, ...options }) => {
    const parameters: Parameter[] = [];
    const names: string[] = [];
    for (const item of members) {
      const [name, parameter] = isNamed(item) ? item : [String(seenParameters.size), item];
      if (!isParameter(parameter)) throw notAParameter(name);
      if (seenParameters.has(parameter)) throw twice('parameter', name);
      if (seenNames.has(name)) throw twice('name', name);
      seenParameters.add(parameter);
      seenNames.add(name);
      parameters.push(parameter);
      names.push(name);
    }
    return { ...defaults, ...withoutUndefined(options), parameters, names } as ParameterGroup<Options>;
  });
  if (seenParameters.size === 0) {
    throw new NudgeError('BAD_ARGUMENT', 'An optimiser needs at least one parameter.', {
      remedy: 'Pass module.parameters(). A generator that was read before is empty.',
    });
  }
  return groups;
}

/** Throws BAD_ARGUMENT unless `low <= value < high`; NaN and infinity are refused. */
export function checkRange(path: string, value: number, low: number, high = Number.POSITIVE_INFINITY): void {
  if (value >= low && value < high) return;
  throw new NudgeError('BAD_ARGUMENT', 'An option of the optimiser is out of range.', {
    path,
    expected: high === Number.POSITIVE_INFINITY ? `a finite number >= ${low}` : `${low} <= value < ${high}`,
    received: String(value),
  });
}

type Item<Options> = Parameter | readonly [string, Parameter] | GroupInput<Options>;

function isGroup<Options>(item: Item<Options>): item is GroupInput<Options> {
  return !isParameter(item) && !Array.isArray(item) && 'parameters' in item;
}

/** All of the parameters in one group, with the defaults. What is not a parameter is refused later, by name. */
function onlyGroup<Options>(items: readonly Item<Options>[]): GroupInput<Options> {
  return { parameters: items } as unknown as GroupInput<Options>;
}

function isNamed(item: unknown): item is readonly [string, Parameter] {
  return Array.isArray(item);
}

/** An option given as undefined must not shadow a default. */
function withoutUndefined(options: object): object {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function notAParameter(name: string): NudgeError {
  return new NudgeError('BAD_ARGUMENT', 'An optimiser trains parameters only.', {
    path: `parameters[${name}]`,
    expected: 'a tensor made by parameter(), as those of a module are',
    remedy: 'Wrap the tensor: parameter(tensor).',
  });
}

function twice(what: string, name: string): NudgeError {
  return new NudgeError('BAD_ARGUMENT', `The same ${what} was given to the optimiser twice.`, {
    path: `parameters[${name}]`,
    remedy: 'module.parameters() lists tied parameters once; keep groups disjoint.',
  });
}
