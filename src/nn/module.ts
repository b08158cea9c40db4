/**
 * The one base class of everything with weights.
 *
 * A module is a plain class whose own properties are its parameters, buffers and sub-modules; nothing is registered.
 * Arrays and plain objects of them count too. Names are the property names joined with dots, as in PyTorch:
 * `layers.0.attention.query.weight`. What must not be found (a module that belongs to somebody else) goes in a `#private` field.
 */
import { NudgeError } from '../errors.ts';
import { type Device, type DType, type Tensor, torch } from '../tensor/index.ts';
import { type Buffer, isBuffer, isParameter, isPersistent, type Parameter } from './parameter.ts';

/** What `loadStateDict(…, { strict: false })` could not match, by name. */
export interface LoadReport {
  /** In the module, not in the state. These kept their values. */
  missing: string[];
  /** In the state, not in the module. These were ignored. */
  unexpected: string[];
}

export abstract class Module {
  /** Whether layers such as dropout behave as in training. Set by `train()` and `eval()`. */
  training = true;

  /** This module and every one below it, each once, parents first. The first name is `''`. */
  *namedModules(): Generator<[name: string, module: Module]> {
    const seen = new Set<Module>();
    for (const [name, module] of walk(this)) {
      if (seen.has(module)) continue;
      seen.add(module);
      yield [name, module];
    }
  }

  /** Every parameter once, a module's own before its children's. A tied parameter has the first of its names. */
  *namedParameters(): Generator<[name: string, parameter: Parameter]> {
    yield* once(namedTensors(this, isParameter));
  }

  *parameters(): Generator<Parameter> {
    for (const [, parameter] of this.namedParameters()) yield parameter;
  }

  /** Every buffer once, persistent or not. */
  *namedBuffers(): Generator<[name: string, buffer: Buffer]> {
    yield* once(namedTensors(this, isBuffer));
  }

  /** How many numbers the parameters hold; tied ones count once. `trainable` counts those that require a gradient only. */
  parameterCount(options: { trainable?: boolean } = {}): number {
    let count = 0;
    for (const parameter of this.parameters()) {
      if (!options.trainable || parameter.requiresGrad) count += parameter.numel();
    }
    return count;
  }

  /**
   * Parameters and persistent buffers by name, each once (a tied one under its first name): the live tensors, not copies.
   * PyTorch lists a tied tensor under all of its names; files then hold it twice or refuse it, so this does not.
   */
  stateDict(): Map<string, Tensor> {
    return new Map(once(namedTensors(this, isState)));
  }

  /**
   * Copies values into the parameters and buffers, by name; dtypes and devices are converted. Everything is checked before
   * anything is written. A tied tensor may be given under any of its names.
   *
   * @param options.strict whether every name must match on both sides. Default true; shapes must match either way.
   * @throws NudgeError BAD_ARGUMENT with the missing and unexpected names, SHAPE_MISMATCH or DTYPE_MISMATCH with every pair that differs.
   */
  loadStateDict(state: ReadonlyMap<string, Tensor>, options: { strict?: boolean } = {}): LoadReport {
    const own = new Map(namedTensors(this, isState));
    const given = new Set<Tensor>();
    for (const [name, tensor] of own) if (state.has(name)) given.add(tensor);
    const report: LoadReport = {
      missing: [...own].filter(([, tensor]) => !given.has(tensor)).map(([name]) => name),
      unexpected: [...state.keys()].filter((name) => !own.has(name)),
    };
    if (options.strict ?? true) checkNames(report, this);
    const pairs = [...own].flatMap(([name, target]): Pair[] => {
      const source = state.get(name);
      return source === undefined ? [] : [{ name, target, source }];
    });
    checkPairs(pairs);
    torch.noGrad(() => {
      for (const { target, source } of pairs) target.copy_(source);
    });
    return report;
  }

  /**
   * Converts parameters, their gradients and buffers in place: the tensors keep their identity, so an optimiser built before
   * stays valid. As in PyTorch a dtype applies to floating-point tensors only. State that an optimiser holds does not follow.
   */
  to(target: DType | Device | { dtype?: DType; device?: Device }): this {
    const { dtype, device } = parseTarget(target);
    const convert = (tensor: Tensor): Tensor =>
      tensor.to({
        ...(device === undefined ? {} : { device }),
        ...(dtype === undefined || !isFloatingPoint(tensor) ? {} : { dtype }),
      });
    torch.scope(() => {
      torch.noGrad(() => {
        for (const [, tensor] of once(namedTensors(this, isOwned))) {
          const gradient = tensor.grad;
          tensor.grad = null;
          const converted = convert(tensor);
          if (converted !== tensor) tensor.setData(converted);
          if (gradient !== null) tensor.grad = convert(gradient);
        }
      });
    });
    return this;
  }

  /** Switches this module and all below to training (or, with false, to evaluation). Gradients are not affected. */
  train(mode = true): this {
    for (const [, module] of this.namedModules()) module.training = mode;
    return this;
  }

  /** Switches to evaluation: dropout does nothing. Gradients are still recorded; use `torch.noGrad` against that. */
  eval(): this {
    return this.train(false);
  }

  /** Freezes every parameter (false) or makes it trainable (true). */
  requiresGrad_(flag = true): this {
    for (const parameter of this.parameters()) parameter.requiresGrad = flag;
    return this;
  }

  /** Drops every parameter's gradient and frees its memory. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) parameter.grad = null;
  }

  /** Frees every parameter and buffer, tied and shared ones included; the module must not be used after. Twice is harmless. */
  dispose(): void {
    for (const [, tensor] of once(namedTensors(this, isOwned))) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

interface Pair {
  name: string;
  target: Tensor;
  source: Tensor;
}

const isOwned = (value: unknown): value is Parameter | Buffer => isParameter(value) || isBuffer(value);
const isState = (value: unknown): value is Parameter | Buffer =>
  isParameter(value) || (isBuffer(value) && isPersistent(value));

/** A module's own properties, with the items of arrays and plain objects in their place: [dotted name, value]. */
function* members(module: Module): Generator<[name: string, value: unknown]> {
  for (const [name, value] of Object.entries(module)) {
    if (Array.isArray(value) || isPlainObject(value)) {
      for (const [key, item] of Object.entries(value)) yield [`${name}.${key}`, item];
    } else {
      yield [name, value];
    }
  }
}

/** Every path to a module, parents first. A shared module comes once for each path; a child that points back up is not followed. */
function* walk(module: Module, name = '', above: readonly Module[] = []): Generator<[name: string, module: Module]> {
  yield [name, module];
  const path = [...above, module];
  for (const [key, value] of members(module)) {
    if (value instanceof Module && !path.includes(value)) yield* walk(value, join(name, key), path);
  }
}

/** Every name of every tensor of a kind: a tied tensor comes once for each of its names. */
function* namedTensors<T extends Tensor>(
  root: Module,
  isKind: (value: unknown) => value is T,
): Generator<[name: string, tensor: T]> {
  for (const [name, module] of walk(root)) {
    for (const [key, value] of members(module)) if (isKind(value)) yield [join(name, key), value];
  }
}

function* once<T extends Tensor>(named: Iterable<[string, T]>): Generator<[name: string, tensor: T]> {
  const seen = new Set<T>();
  for (const [name, tensor] of named) {
    if (seen.has(tensor)) continue;
    seen.add(tensor);
    yield [name, tensor];
  }
}

const join = (prefix: string, name: string): string => (prefix === '' ? name : `${prefix}.${name}`);

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

const floatingPoint: ReadonlySet<string> = new Set(['float64', 'float32', 'float16', 'bfloat16']);
const isFloatingPoint = (tensor: Tensor): boolean => floatingPoint.has(tensor.dtype);

function parseTarget(target: DType | Device | { dtype?: DType; device?: Device }): { dtype?: DType; device?: Device } {
  if (typeof target !== 'string') {
    if (target.dtype !== undefined) checkFloating(target.dtype);
    return target;
  }
  // A device is a word, perhaps with a number behind a colon; every dtype that a module can have is listed.
  if (floatingPoint.has(target)) return { dtype: target as DType };
  if (/^(cpu|cuda|mps|xpu|meta)(:\d+)?$/.test(target)) return { device: target as Device };
  return { dtype: checkFloating(target as DType) };
}

function checkFloating(dtype: DType): DType {
  if (floatingPoint.has(dtype)) return dtype;
  throw new NudgeError('BAD_ARGUMENT', 'A module cannot be converted to this dtype: gradients need floating point.', {
    path: 'Module.to',
    expected: [...floatingPoint].join(' | '),
    received: dtype,
  });
}

function checkNames({ missing, unexpected }: LoadReport, module: Module): void {
  if (missing.length === 0 && unexpected.length === 0) return;
  const lines = [
    ...(missing.length > 0 ? [`missing ${list(missing)}`] : []),
    ...(unexpected.length > 0 ? [`unexpected ${list(unexpected)}`] : []),
  ];
  throw new NudgeError('BAD_ARGUMENT', `The state does not fit ${module.constructor.name}.`, {
    path: `${module.constructor.name}.loadStateDict`,
    expected: 'the same names on both sides',
    received: lines.join('; '),
    remedy: 'Check that the state belongs to this architecture, or pass { strict: false } to load what fits.',
  });
}

function checkPairs(pairs: readonly Pair[]): void {
  const shapes = pairs.filter(({ target, source }) => !sameShape(target.shape, source.shape));
  if (shapes.length > 0) {
    throw new NudgeError(
      'SHAPE_MISMATCH',
      `${shapes.length} tensors of the state have another shape than the module's.`,
      {
        path: shapes[0]!.name,
        expected: list(shapes.map(({ name, target }) => `${name} [${target.shape}]`)),
        received: list(shapes.map(({ name, source }) => `${name} [${source.shape}]`)),
        remedy: 'Build the module with the configuration that the state was saved with.',
      },
    );
  }
  // Integers in place of floats are quantised codes or a damaged file; converting them silently would make a broken model.
  const kinds = pairs.filter(({ target, source }) => isFloatingPoint(target) !== isFloatingPoint(source));
  if (kinds.length > 0) {
    throw new NudgeError('DTYPE_MISMATCH', `${kinds.length} tensors of the state mix integers and floating point.`, {
      path: kinds[0]!.name,
      expected: list(kinds.map(({ name, target }) => `${name} ${target.dtype}`)),
      received: list(kinds.map(({ name, source }) => `${name} ${source.dtype}`)),
      remedy: 'Convert (or dequantise) the tensors before loading.',
    });
  }
}

const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((size, i) => size === b[i]);

/** At most ten items: a wrong file has hundreds of names, and the first ones tell as much. */
function list(items: readonly string[]): string {
  const shown = items.slice(0, 10).join(', ');
  return items.length > 10 ? `${shown} and ${items.length - 10} more` : shown;
}
