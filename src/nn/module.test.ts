import { describe, expect, it } from 'vitest';
import { type Tensor, torch } from '../tensor/index.ts';
import { Dropout } from './layers/dropout.ts';
import { Embedding } from './layers/embedding.ts';
import { Linear } from './layers/linear.ts';
import { RMSNorm } from './layers/norm.ts';
import { Module } from './module.ts';
import { AdamW } from './optim/adamw.ts';
import { type Buffer, buffer, type Parameter, parameter } from './parameter.ts';

class Block extends Module {
  readonly norm = new RMSNorm(4);
  readonly up = new Linear(4, 4);
  readonly dropout = new Dropout(0.5);
}

class Model extends Module {
  readonly scale: Parameter = parameter(torch.ones([]));
  readonly embed = new Embedding(8, 4);
  readonly layers: readonly Block[] = [new Block(), new Block()];
  readonly heads: Record<string, Linear> = { value: new Linear(4, 1) };
  readonly lmHead = new Linear(4, 8, { bias: false });
  readonly table: Buffer = buffer(torch.arange(3), { persistent: false });
  readonly steps: Buffer = buffer(torch.tensor(0));
  readonly scratch: Tensor = torch.zeros([2]);
  // A neighbour that this model uses and does not own.
  readonly #teacher: Module;

  constructor(teacher: Module = new Dropout()) {
    super();
    this.#teacher = teacher;
    this.lmHead = tie(this.lmHead, this.embed);
  }

  get teacher(): Module {
    return this.#teacher;
  }
}

/** Gives a head the embedding's own weight. */
function tie(head: Linear, embed: Embedding): Linear {
  head.weight.dispose();
  return Object.assign(head, { weight: embed.weight });
}

const names = (entries: Iterable<[string, unknown]>): string[] => [...entries].map(([name]) => name);

describe('Module: names', () => {
  const model = new Model(new Linear(2, 2));

  it('finds parameters through properties, arrays and plain objects, its own first', () => {
    expect(names(model.namedParameters())).toEqual([
      'scale',
      'embed.weight',
      'layers.0.norm.weight',
      'layers.0.up.weight',
      'layers.0.up.bias',
      'layers.1.norm.weight',
      'layers.1.up.weight',
      'layers.1.up.bias',
      'heads.value.weight',
      'heads.value.bias',
    ]);
  });

  it('finds modules and buffers, and not what is private or unmarked', () => {
    expect(names(model.namedModules()).slice(0, 4)).toEqual(['', 'embed', 'layers.0', 'layers.0.norm']);
    expect(names(model.namedBuffers())).toEqual(['table', 'steps']);
    expect(names(model.namedModules())).not.toContain('teacher');
  });

  it('counts tied weights once', () => {
    // 1 + 8*4 + 2 * (4 + 4*4 + 4) + 4 + 1
    expect(model.parameterCount()).toBe(86);
    model.embed.requiresGrad_(false);
    expect(model.parameterCount({ trainable: true })).toBe(86 - 32);
    model.embed.requiresGrad_(true);
  });

  it('does not follow a child back to its parent', () => {
    const child: Module & { parent?: Module } = new Linear(1, 1);
    const parent = Object.assign(new Dropout(), { child });
    child.parent = parent;
    expect(names(parent.namedModules())).toEqual(['', 'child']);
  });
});

describe('Module: state', () => {
  it('saves each tensor once, without temporary buffers', () => {
    const state = new Model().stateDict();
    expect(state.has('embed.weight')).toBe(true);
    expect(state.has('lmHead.weight')).toBe(false);
    expect(state.has('steps')).toBe(true);
    expect(state.has('table')).toBe(false);
  });

  it('loads what another one saved, converting the dtype', () => {
    const [from, into] = [new Model(), new Model()];
    from.to('bfloat16');
    expect(into.loadStateDict(from.stateDict())).toEqual({ missing: [], unexpected: [] });
    expect(into.embed.weight.dtype).toBe('float32');
    expect(torch.equal(into.embed.weight, from.embed.weight.float())).toBe(true);
    expect(into.lmHead.weight).toBe(into.embed.weight);
  });

  it('takes a tied tensor under any of its names', () => {
    const [from, into] = [new Model(), new Model()];
    const state = from.stateDict();
    state.set('lmHead.weight', state.get('embed.weight')!);
    state.delete('embed.weight');
    into.loadStateDict(state);
    expect(torch.equal(into.embed.weight, from.embed.weight)).toBe(true);
  });

  it('names what is missing and unexpected, and changes nothing then', () => {
    const model = new Linear(2, 2);
    const before = model.weight.tolist();
    const state = new Map([
      ['weight', torch.zeros([2, 2])],
      ['offset', torch.zeros([2])],
    ]);
    expect(() => model.loadStateDict(state)).toThrow(/missing bias; unexpected offset/);
    expect(model.weight.tolist()).toEqual(before);
    expect(model.loadStateDict(state, { strict: false })).toEqual({ missing: ['bias'], unexpected: ['offset'] });
    expect(model.weight.tolist()).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });

  it('refuses other shapes and integers for floats, strict or not', () => {
    const model = new Linear(2, 2, { bias: false });
    const load = (weight: Tensor) => () => model.loadStateDict(new Map([['weight', weight]]), { strict: false });
    expect(load(torch.zeros([2, 3]))).toThrow(/weight \[2,2\][\s\S]*weight \[2,3\]/);
    expect(load(torch.zeros([2, 2], { dtype: 'int64' }))).toThrow(/float32[\s\S]*int64/);
  });
});

describe('Module: conversion and modes', () => {
  it('converts in place: same tensors, same gradients, integers untouched', () => {
    const model = new Model();
    const weight = model.embed.weight;
    const ids = torch.tensor([1], { dtype: 'int64' });
    model.embed.forward(ids).sum().backward();
    model.to('bfloat16');
    expect(model.embed.weight).toBe(weight);
    expect(weight.dtype).toBe('bfloat16');
    expect(weight.grad?.dtype).toBe('bfloat16');
    expect(weight.grad?.float().sum().item()).toBe(4);
    expect(model.table.dtype).toBe('int64');
    expect(weight.isLeaf && weight.requiresGrad).toBe(true);
    // The graph of the new dtype reaches the parameter.
    model.zeroGrad();
    model.embed.forward(ids).sum().backward();
    expect(weight.grad?.dtype).toBe('bfloat16');
    expect(() => model.to('int64')).toThrow(/float32/);
  });

  it('keeps an optimiser built before valid', () => {
    const model = new Linear(1, 1, { bias: false });
    const optimizer = new AdamW(model.parameters(), { lr: 0.1 });
    model.to('bfloat16');
    model.forward(torch.ones([1, 1], { dtype: 'bfloat16' })).backward();
    const before = model.weight.item();
    optimizer.step();
    expect(model.weight.item()).toBeLessThan(before);
  });

  it('switches every module between training and evaluation', () => {
    const model = new Model().eval();
    expect(model.layers.map(({ dropout }) => dropout.training)).toEqual([false, false]);
    expect(model.train().layers[1]!.dropout.training).toBe(true);
  });

  it('drops gradients', () => {
    const model = new Linear(1, 1);
    model.forward(torch.ones([1, 1])).backward();
    expect(model.weight.grad?.tolist()).toEqual([[1]]);
    model.zeroGrad();
    expect(model.weight.grad).toBeNull();
  });
});

describe('Module: memory', () => {
  it('outlives the scope it was built in and frees all it owns', () => {
    const before = torch.memory().tensors;
    torch.scope(() => {
      const model = torch.scope(() => new Block());
      expect(model.up.forward(torch.ones([1, 4])).shape).toEqual([1, 4]);
      model.dispose();
      model.dispose();
      expect(model.up.weight.isDisposed).toBe(true);
    });
    expect(torch.memory().tensors).toBe(before);
  });
});

describe('parameter', () => {
  it('is the same tensor, kept and requiring a gradient', () => {
    const tensor = torch.ones([2]);
    expect(parameter(tensor)).toBe(tensor);
    expect(tensor.requiresGrad).toBe(true);
    expect(parameter(torch.ones([2]), { requiresGrad: false }).requiresGrad).toBe(false);
  });

  it('cuts the result of an operation off from its graph', () => {
    const source = torch.ones([2], { requiresGrad: true });
    const weight = parameter(source.mul(2));
    expect(weight.isLeaf).toBe(true);
    weight.sum().backward();
    expect(source.grad).toBeNull();
    expect(weight.grad?.tolist()).toEqual([1, 1]);
  });
});
