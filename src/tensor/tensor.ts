/**
 * The Tensor: an n-dimensional array in native memory.
 *
 * Most of its methods are ATen operators, installed by `operators.ts` and declared in `generated/types.ts`; what is written out
 * here is what an operator call cannot say: properties, data in and out, autograd, memory, indexing.
 */

import { inspect } from 'node:util';
import { NudgeError } from '../errors.ts';
import { type DType, dtypeBytes, dtypeCode, dtypeName, isDType, type TypedArray, typedArrayOver } from './dtype.ts';
import type { TensorMethods } from './generated/types.ts';
import { type Index, read, write } from './indexing.ts';
import { native } from './native.ts';
import { checkOptions } from './options.ts';
import { format, type Nested, nest } from './print.ts';
import type { Scalar } from './scalars.ts';
import { disown, keep, OwnedHandle } from './scope.ts';

/** `'cpu'`, `'cuda'`, `'cuda:1'`, `'mps'`. */
export type Device = 'cpu' | 'cuda' | `cuda:${number}` | 'mps' | (string & {});

export interface BackwardOptions {
  /** Keep the graph's buffers for another backward pass. Default: the value of `createGraph`. */
  retainGraph?: boolean;
  /** Record the backward pass itself, for higher derivatives. Default false. */
  createGraph?: boolean;
}

/**
 * Shape and dtype are remembered, since each look costs a call. Several Tensors may stand for one tensor of libtorch, so when an
 * operator changes a shape in place, which is rare, all forget.
 */
let epoch = 0;

/** @internal Before an operator that may change the shape or dtype of a tensor that exists. */
export function shapesMayChange(): void {
  epoch++;
}

/** A size that must hold: a number, null (any), or a letter (the same size wherever the letter stands). */
export type ExpectedSize = number | null | string;

// The operators' declarations are generated; operators.ts installs them on the prototype.
export interface Tensor extends TensorMethods {}

// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: see the interface above
export class Tensor extends OwnedHandle implements Disposable {
  private knownShape: readonly number[] | null = null;
  private knownDtype: DType | null = null;
  private knownAt = 0;

  // ---- what it is ----

  /** The sizes, one a dimension. */
  get shape(): readonly number[] {
    if (this.knownAt !== epoch) this.forget();
    this.knownShape ??= Object.freeze(native.shape(this.handle));
    return this.knownShape;
  }

  get dtype(): DType {
    if (this.knownAt !== epoch) this.forget();
    this.knownDtype ??= dtypeName(native.dtype(this.handle));
    return this.knownDtype;
  }

  private forget(): void {
    this.knownShape = null;
    this.knownDtype = null;
    this.knownAt = epoch;
  }

  get device(): Device {
    return native.device(this.handle);
  }

  /** The number of dimensions. */
  get ndim(): number {
    return this.shape.length;
  }

  /** The number of elements. */
  numel(): number {
    let product = 1;
    for (const size of this.shape) product *= size;
    return product;
  }

  dim(): number {
    return this.shape.length;
  }

  /** All sizes, or one; a negative dimension counts from the end. */
  size(): readonly number[];
  size(dim: number): number;
  size(dim?: number): number | readonly number[] {
    const shape = this.shape;
    if (dim === undefined) return shape;
    const size = shape[dim < 0 ? dim + shape.length : dim];
    if (size === undefined) {
      throw new NudgeError('SHAPE_MISMATCH', `there is no dimension ${dim}`, { received: describe(this) });
    }
    return size;
  }

  /** Elements to step for the next index, one a dimension. */
  stride(): readonly number[];
  stride(dim: number): number;
  stride(dim?: number): number | readonly number[] {
    const strides = native.strides(this.handle);
    if (dim === undefined) return strides;
    const stride = strides[dim < 0 ? dim + strides.length : dim];
    if (stride === undefined) {
      throw new NudgeError('SHAPE_MISMATCH', `there is no dimension ${dim}`, { received: describe(this) });
    }
    return stride;
  }

  /** Bytes that one element takes. */
  elementSize(): number {
    return dtypeBytes(this.dtype);
  }

  /**
   * Checks the shape and returns the tensor: `logits.expectShape(['B', 'T', vocab])`. null accepts any size; a letter stands
   * for one size wherever it occurs.
   *
   * @throws NudgeError `SHAPE_MISMATCH` that prints both shapes.
   */
  expectShape(expected: readonly ExpectedSize[], name = 'tensor'): this {
    const bound = new Map<string, number>();
    const shape = this.shape;
    const fits =
      shape.length === expected.length &&
      expected.every((want, i) => {
        const size = shape[i] as number;
        if (typeof want !== 'string') return want === null || want === size;
        if (!bound.has(want)) bound.set(want, size);
        return bound.get(want) === size;
      });
    if (fits) return this;
    throw new NudgeError('SHAPE_MISMATCH', `${name} has the wrong shape`, {
      expected: `[${expected.map((want) => want ?? '*').join(', ')}]`,
      received: describe(this),
    });
  }

  // ---- data out ----

  /** The value of a one-element tensor; a bigint only where an int64 does not fit a number. Waits for the device. */
  item<T extends number | bigint | boolean = number>(): T {
    return native.item(this.handle) as T;
  }

  /** Nested arrays of numbers or booleans (bigints where an int64 does not fit); the bare value for no dimensions. */
  tolist(): Nested {
    return nest(this);
  }

  /** A copy of the elements in row-major order; 16-bit floats as their bits in a Uint16Array, complex as pairs. */
  data(): TypedArray {
    return typedArrayOver(this.dtype, this.bytes().buffer as ArrayBuffer);
  }

  /** A copy of the elements as float32, from any dtype that converts. */
  toFloat32Array(): Float32Array {
    if (this.dtype === 'float32') return this.data() as Float32Array;
    using detached = this.detach();
    using converted = detached.to('float32');
    return converted.data() as Float32Array;
  }

  /**
   * A copy of the raw little-endian bytes in row-major order, from any device and layout.
   *
   * @param into - written to and returned instead of fresh memory, whose pages the system must first provide: several times
   *   faster in a loop. Must have just this size.
   */
  bytes(into?: Uint8Array): Uint8Array {
    // Every byte is written, so that zeroing them first would be wasted; Slow: with a buffer of its own, not a piece of a pool.
    const bytes = into ?? new Uint8Array(Buffer.allocUnsafeSlow(this.numel() * this.elementSize()).buffer);
    native.toBytes(this.handle, bytes);
    return bytes;
  }

  /**
   * The tensor's own memory as a typed array: nothing is copied, writing to it writes to the tensor, and it keeps that memory
   * alive even after the tensor is freed. Contiguous CPU tensors only; the tensor can no longer be resized in place.
   */
  map(): TypedArray {
    return typedArrayOver(this.dtype, native.map(this.handle));
  }

  // ---- conversion ----

  /** Another dtype or device; the same object where nothing changes. */
  to(
    target: DType | Device | Tensor | { dtype?: DType; device?: Device; copy?: boolean; nonBlocking?: boolean },
  ): Tensor {
    if (target instanceof Tensor) return this.to({ dtype: target.dtype, device: target.device });
    if (typeof target === 'string') return this.to(isDType(target) ? { dtype: target } : { device: target });
    if (typeof target !== 'object' || target === null) {
      throw new NudgeError('BAD_ARGUMENT', 'to() takes a dtype, a device, a tensor or options', {
        received: String(target),
      });
    }
    checkOptions(target, ['dtype', 'device', 'copy', 'nonBlocking'], 'to');
    const { dtype = this.dtype, device = this.device, copy = false, nonBlocking = false } = target;
    dtypeCode(dtype);
    const sameDevice = device === this.device || (device === 'cuda' && this.device.startsWith('cuda'));
    if (!copy && sameDevice && dtype === this.dtype) return this;
    return this._toCopy({ dtype, device, nonBlocking });
  }

  cpu(): Tensor {
    return this.to('cpu');
  }
  cuda(index?: number): Tensor {
    return this.to(index === undefined ? 'cuda' : `cuda:${index}`);
  }
  float(): Tensor {
    return this.to('float32');
  }
  double(): Tensor {
    return this.to('float64');
  }
  half(): Tensor {
    return this.to('float16');
  }
  bfloat16(): Tensor {
    return this.to('bfloat16');
  }
  long(): Tensor {
    return this.to('int64');
  }
  int(): Tensor {
    return this.to('int32');
  }
  bool(): Tensor {
    return this.to('bool');
  }

  // ---- indexing ----

  /**
   * `x.at(0, slice(1, 3), null)` is Python's `x[0, 1:3, None]`. An integer drops its dimension, `null` adds one, `'...'` skips
   * to the last ones, a tensor (indices or a mask) gathers. Integers, slices and null give a view.
   */
  at(...index: Index[]): Tensor {
    return read(this, index);
  }

  /** `x.put(value, 0, slice(1, 3))` is Python's `x[0, 1:3] = value`. Returns x. */
  put(value: Tensor | Scalar, ...index: Index[]): this {
    write(this, value, index);
    return this;
  }

  // ---- autograd ----

  get requiresGrad(): boolean {
    return native.requiresGrad(this.handle);
  }
  set requiresGrad(flag: boolean) {
    native.setRequiresGrad(this.handle, flag);
  }
  requiresGrad_(flag = true): this {
    this.requiresGrad = flag;
    return this;
  }

  /** True for tensors that no recorded operation made: parameters, data. Only leaves get a `grad`. */
  get isLeaf(): boolean {
    return native.isLeaf(this.handle);
  }

  /** The gradient that backward passes added up, or null. Each read makes a new Tensor over the same memory. */
  get grad(): Tensor | null {
    const handle = native.getGrad(this.handle);
    return handle === null ? null : new Tensor(handle);
  }
  set grad(gradient: Tensor | null) {
    if (gradient !== null && !(gradient instanceof Tensor)) {
      throw new NudgeError('BAD_ARGUMENT', 'a gradient is a tensor or null', { received: String(gradient) });
    }
    native.setGrad(this.handle, gradient === null ? null : gradient.handle);
  }

  /**
   * Adds the gradient of this tensor to the `grad` of every leaf that it came from.
   *
   * @param gradient - the gradient of this tensor itself; needed unless it has a single element.
   */
  backward(options?: BackwardOptions): void;
  backward(gradient: Tensor | null, options?: BackwardOptions): void;
  backward(first: Tensor | null | BackwardOptions = null, second?: BackwardOptions): void {
    if (typeof first !== 'object') {
      throw new NudgeError('BAD_ARGUMENT', 'the gradient of a tensor is a tensor', { received: String(first) });
    }
    const gradient = first instanceof Tensor ? first : null;
    const options = first instanceof Tensor ? second : (second ?? first);
    const { retainGraph, createGraph = false } = checkBackward(options ?? {}, 'backward');
    native.backward([this.handle], [gradient?.handle ?? null], retainGraph, createGraph);
  }

  // ---- memory ----

  /** Takes the tensor out of its scope: it lives until `dispose()`, or until the collector finds it unreachable. */
  keep(): this {
    keep(this);
    return this;
  }

  /** Frees the tensor now. Its memory goes when no view and no autograd graph needs it any more. Disposing twice is harmless. */
  dispose(): void {
    const handle = this.handle;
    if (handle === 0) return;
    disown(this);
    native.release(handle);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** True once the tensor was freed: by hand, by its scope, or by being released to another thread. */
  get isDisposed(): boolean {
    return !native.isLive(this.handle);
  }

  /**
   * Gives the tensor up and returns a ticket, a number that another thread turns into a tensor with `torch.adopt`. Nothing is
   * copied. A ticket that nobody takes keeps its memory until the process ends.
   */
  release(): number {
    const ticket = this.handle;
    native.transfer(ticket, false);
    disown(this);
    return ticket;
  }

  // ---- for people ----

  override toString(): string {
    return format(this);
  }

  [inspect.custom](): string {
    return format(this);
  }

  toJSON(): { shape: readonly number[]; dtype: DType; device: Device } {
    return { shape: this.shape, dtype: this.dtype, device: this.device };
  }

  [Symbol.toPrimitive](hint: string): number | string {
    if (hint === 'string') return format(this);
    // `a + b` on tensors is a mistake that JavaScript would turn into nonsense.
    if (hint === 'default') {
      throw new NudgeError('BAD_ARGUMENT', 'JavaScript has no operators for tensors', {
        remedy: 'Write a.add(b), a.mul(b), a.eq(b); or x.item() for a number.',
      });
    }
    return Number(this.item());
  }
}

/** @internal */
export function checkBackward(options: BackwardOptions, where: string): BackwardOptions {
  checkOptions(options, ['retainGraph', 'createGraph'], where);
  return options;
}

/** "float32 [2, 3] on cpu" */
export function describe(tensor: Tensor): string {
  return `${tensor.dtype} [${tensor.shape.join(', ')}] on ${tensor.device}`;
}
