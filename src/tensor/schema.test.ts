import { beforeAll, describe, expect, it } from 'vitest';
import { torch } from './index.ts';
import { native } from './native.ts';
import { camelCase, type Kind, type Parameter, parseSchema } from './schema.ts';

describe('camelCase', () => {
  it.each([
    ['add', 'add'],
    ['keep_dim', 'keepDim'],
    ['masked_fill_', 'maskedFill_'],
    ['_foreach_add_', '_foreachAdd_'],
    ['__and__', '__and__'],
    ['scaled_dot_product_attention', 'scaledDotProductAttention'],
    ['log1p', 'log1p'],
    ['conv_2d', 'conv2d'],
    ['_', '_'],
    ['N', 'N'],
  ])('%s is %s', (snake, camel) => {
    expect(camelCase(snake)).toBe(camel);
  });
});

describe('a schema', () => {
  it('tells names, kinds, defaults and which arguments are keywords', () => {
    const schema = parseSchema(
      'aten::sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor',
    );
    expect(schema).toMatchObject({ qualifiedName: 'aten::sum.dim_IntList', baseName: 'sum' });
    expect(schema.parameters).toMatchObject([
      { name: 'self', kind: 'tensor', nullable: false, hasDefault: false, keywordOnly: false },
      { name: 'dim', kind: 'ints', nullable: true, single: true, hasDefault: false },
      { name: 'keepdim', kind: 'bool', hasDefault: true, defaultText: 'False' },
      { name: 'dtype', kind: 'dtype', nullable: true, hasDefault: true, keywordOnly: true },
    ]);
    expect(schema.results).toMatchObject([{ kind: 'tensor', written: undefined, view: false }]);
  });

  it('tells what is written to, and which result that is', () => {
    const { parameters, results } = parseSchema(
      'aten::max.dim_max(Tensor self, int dim, bool keepdim=False, *, Tensor(a!) max, Tensor(b!) max_values) -> (Tensor(a!) values, Tensor(b!) indices)',
    );
    expect(parameters.map(({ name, written }) => [name, written])).toEqual([
      ['self', undefined],
      ['dim', undefined],
      ['keepdim', undefined],
      ['max', 'a'],
      ['maxValues', 'b'],
    ]);
    expect(results).toMatchObject([
      { name: 'values', written: 'a' },
      { name: 'indices', written: 'b' },
    ]);
  });

  it('tells views', () => {
    expect(parseSchema('aten::view(Tensor(a) self, SymInt[] size) -> Tensor(a)').results).toMatchObject([
      { view: true },
    ]);
    expect(
      parseSchema('aten::split.Tensor(Tensor(a -> *) self, SymInt split_size, int dim=0) -> Tensor(a)[]').results,
    ).toMatchObject([{ kind: 'tensors', view: true }]);
  });

  it('may have defaults with commas and quotes, lists of lists, and no result', () => {
    const { parameters, results } = parseSchema(
      'x::y(int[2] a=[0, 1], str b="mean, or (not", Tensor?[] c, str[][] d) -> ()',
    );
    expect(parameters.map(({ name, kind, defaultText }) => [name, kind, defaultText])).toEqual([
      ['a', 'ints', '[0, 1]'],
      ['b', 'string', '"mean, or (not"'],
      ['c', 'optionalTensors', undefined],
      ['d', 'unsupported', undefined],
    ]);
    expect(results).toEqual([]);
  });

  it('that is none is our own bug', () => {
    expect(() => parseSchema('nonsense')).toThrow(/This is a bug in Nudge/);
  });
});

/** How the addon, which asks libtorch's own types and never reads the text, names each kind in its errors. */
const NATIVE_KINDS: Record<Kind, string> = {
  tensor: 'Tensor',
  tensors: 'Tensor[]',
  optionalTensors: '(Tensor | null)[]',
  int: 'integer',
  ints: 'integer[]',
  float: 'number',
  floats: 'number[]',
  scalar: 'number',
  scalars: 'number[]',
  bool: 'boolean',
  bools: 'boolean[]',
  string: 'string',
  strings: 'string[]',
  device: 'device',
  dtype: 'an integer',
  layout: 'an integer',
  memoryFormat: 'an integer',
  generator: 'an integer',
  unsupported: 'a type Nudge cannot pass',
};

describe('every schema of the live libtorch', () => {
  // Not parsed, and in no generated file: those of any number of arguments, and one test operator with quotes in quotes.
  const texts = native.schemas().filter((text) => !text.includes('(...)') && !text.includes('\\"'));
  // 20,000 errors are made below: without stacks.
  beforeAll(() => {
    Error.stackTraceLimit = 0;
    native.setErrorFactory((_, message) => new Error(message));
  });
  const schemas = texts.map(parseSchema);
  /** What the addon says when an operator is called so; it refuses each of these calls before it would run. */
  const refusal = (operator: number, args: unknown[]): string => {
    try {
      native.call(operator, ...args);
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error('the addon ran it');
  };

  it('is named as the dispatcher names it', () => {
    expect(texts.length).toBeGreaterThan(3000);
    expect(new Set(schemas.map(({ qualifiedName }) => qualifiedName)).size).toBe(texts.length);
    for (const { qualifiedName } of schemas) expect(() => native.operator(qualifiedName)).not.toThrow();
  });

  it('takes as many arguments as the dispatcher takes', () => {
    const wrong: string[] = [];
    for (const { qualifiedName, parameters } of schemas) {
      const message = refusal(native.operator(qualifiedName), Array(62).fill(null));
      if (!message.includes(`takes ${parameters.length} arguments, got 62`)) wrong.push(message);
    }
    expect(wrong).toEqual([]);
  });

  it('has the names and kinds that the dispatcher has, argument by argument', () => {
    const tensor = torch.ones([1]);
    /** Something that passes in place of an argument while a later one is asked about. */
    const filler = ({ kind, nullable, hasDefault }: Parameter): unknown => {
      if (hasDefault || nullable) return undefined;
      const fillers: Partial<Record<Kind, unknown>> = {
        tensor: tensor.handle,
        int: 1,
        float: 1,
        scalar: 1,
        bool: true,
        string: '',
        device: 'cpu',
        dtype: 6,
        layout: 0,
        memoryFormat: 0,
        ...Object.fromEntries(
          Object.keys(NATIVE_KINDS)
            .filter((name) => /s$/.test(name))
            .map((name) => [name, []]),
        ),
      };
      return fillers[kind];
    };
    const wrong: string[] = [];
    let compared = 0;
    for (const { qualifiedName, parameters } of schemas) {
      const operator = native.operator(qualifiedName);
      for (const [i, parameter] of parameters.entries()) {
        const before = parameters.slice(0, i).map(filler);
        if (
          parameters
            .slice(0, i)
            .some(({ kind, nullable, hasDefault }) => kind === 'unsupported' && !nullable && !hasDefault)
        )
          break;
        const message = refusal(operator, [...before, Symbol('no value')]);
        const expected = `expected ${NATIVE_KINDS[parameter.kind]}`;
        const named = camelCase(
          /argument '(\w+)'/.exec(message)?.[1] ?? /(\w+): expected an integer/.exec(message)?.[1] ?? '',
        );
        const nullable = message.includes('| null, got');
        const knowsNull = !expected.endsWith('an integer');
        const nameFits = named === parameter.name || (parameter.kind === 'generator' && named === 'generator');
        compared++;
        if (nameFits && message.includes(expected) && (!knowsNull || nullable === parameter.nullable)) continue;
        wrong.push(`${qualifiedName} #${i}: ${JSON.stringify(parameter)}\n  ${message}`);
      }
    }
    tensor.dispose();
    expect(wrong).toEqual([]);
    expect(compared).toBeGreaterThan(13_000);
  });
});
