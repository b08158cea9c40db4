/**
 * Parameters and buffers: tensors that belong to a module.
 *
 * Both are ordinary tensors with a mark, not subclasses: every operator takes them, and an optimiser or a module finds them
 * by the mark. Both are kept, so that they outlive the scope in which a model is built; the module's `dispose()` frees them.
 */
import type { Tensor } from '../tensor/index.ts';

declare const parameterMark: unique symbol;
declare const bufferMark: unique symbol;

/** A tensor to be trained (or frozen): an autograd leaf, made by `parameter()`. */
export type Parameter = Tensor & { readonly [parameterMark]: true };
/** A tensor that belongs to a module without being trained, such as a rotary table: made by `buffer()`. */
export type Buffer = Tensor & { readonly [bufferMark]: true };

const parameters = new WeakSet<object>();
const buffers = new WeakMap<object, { persistent: boolean }>();

/**
 * Marks a tensor as a parameter: keeps it and makes it require a gradient. Returns the same tensor when it is a leaf;
 * the result of a recorded operation is detached first (same memory), since only leaves collect gradients.
 *
 * @param options.requiresGrad false makes a frozen parameter: saved and loaded, never trained. Default true.
 */
export function parameter(tensor: Tensor, options: { requiresGrad?: boolean } = {}): Parameter {
  const leaf = (tensor.isLeaf ? tensor : tensor.detach()).keep();
  leaf.requiresGrad = options.requiresGrad ?? true;
  parameters.add(leaf);
  return leaf as Parameter;
}

/**
 * Marks a tensor as a module's buffer and keeps it. It follows the module's `to()`.
 *
 * @param options.persistent whether `stateDict()` holds it. Default true; false for tables that the constructor computes anyway.
 */
export function buffer(tensor: Tensor, options: { persistent?: boolean } = {}): Buffer {
  const kept = tensor.keep();
  buffers.set(kept, { persistent: options.persistent ?? true });
  return kept as Buffer;
}

export function isParameter(value: unknown): value is Parameter {
  return typeof value === 'object' && value !== null && parameters.has(value);
}

export function isBuffer(value: unknown): value is Buffer {
  return typeof value === 'object' && value !== null && buffers.has(value);
}

export function isPersistent(tensor: Buffer): boolean {
  return buffers.get(tensor)?.persistent ?? false;
}
