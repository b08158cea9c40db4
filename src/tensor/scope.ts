/**
 * Who frees a tensor, and when.
 *
 * The garbage collector cannot: it sees a few bytes of JavaScript, runs late, and in a synchronous loop not at all (400 dropped
 * 1 MB tensors peaked at 571 MB, freed by hand at 158 MB). So tensors belong to the scope in which they were made; the
 * collector is only the net for those made outside any scope.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import { NudgeError } from '../errors.ts';
import { type Handle, native } from './native.ts';

/**
 * A clone of a Tensor would be a bare number that nobody owns. A function among its properties makes structuredClone and
 * postMessage refuse it, by this name (markAsUncloneable says it better, and costs 40 ns a tensor).
 */
const useReleaseAndAdopt = function tensorsAreHandedOverWithReleaseAndAdopt(): void {};

/** What a scope or the collector owns: the base of `Tensor`. */
export class OwnedHandle {
  /** @internal */
  readonly uncloneable = useReleaseAndAdopt;
  /** @internal The place in the native table; 0 once given away or freed. */
  handle: Handle;
  /** @internal The scope that will free it; null when it is kept, freed, or left to the collector. */
  owner: Scope | null = null;
  /** @internal The collector's record of it. */
  collected: Collected | null = null;

  constructor(handle: Handle) {
    this.handle = handle;
    const scope = active !== null || asyncScopes === 0 ? active : currentScope();
    if (scope !== null) scope.add(this);
    else leaveToCollector(this, true);
    if (madeListener !== null) madeListener(this);
  }
}

let madeListener: ((made: OwnedHandle) => void) | null = null;

/** Tells `listener` of every tensor made from now on in this thread; null stops it. */
export function onTensorMade(listener: typeof madeListener): void {
  madeListener = listener;
}

/** Handles on their way to being freed, a batch a call. */
const BATCH = new Float64Array(1024);

/** Owns the tensors made while it is open, and frees them when it closes. Made by `torch.scope()`. */
export class Scope implements Disposable {
  /** @internal */
  readonly parent: Scope | null;
  private owned: OwnedHandle[] = [];
  private left = 0;
  private open = true;

  /** @internal */
  constructor(parent: Scope | null) {
    this.parent = parent;
  }

  get isOpen(): boolean {
    return this.open;
  }

  /** @internal */
  add(resource: OwnedHandle): void {
    resource.owner = this;
    this.owned.push(resource);
  }

  /** @internal Tells that a tensor was disposed or kept: a long-lived scope must not collect what is gone. */
  forget(): void {
    if (++this.left < 1024 || this.left * 2 < this.owned.length) return;
    this.owned = this.owned.filter((resource) => resource.owner === this);
    this.left = 0;
  }

  /** Frees what is still owned, here and in scopes left open inside. Closing twice is harmless. */
  close(): void {
    if (!this.open) return;
    while (active !== null && isInside(active, this)) {
      const inner = active;
      active = inner.parent;
      if (inner !== this) inner.free();
    }
    this.free();
  }

  /** The end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }

  private free(): void {
    this.open = false;
    let count = 0;
    for (const resource of this.owned) {
      if (resource.owner !== this) continue;
      resource.owner = null;
      BATCH[count++] = resource.handle;
      if (count === BATCH.length) {
        native.release(BATCH, count);
        count = 0;
      }
    }
    if (count > 0) native.release(BATCH, count);
    this.owned = [];
  }
}

/** The innermost open synchronous scope of this thread. */
let active: Scope | null = null;

/** Asynchronous scopes follow their function through awaits; while none exists, looking one up is skipped. */
let asyncScopes = 0;
const asyncScope = new AsyncLocalStorage<Scope>();

function isInside(inner: Scope, outer: Scope): boolean {
  for (let scope: Scope | null = inner; scope !== null; scope = scope.parent) if (scope === outer) return true;
  return false;
}

function currentScope(): Scope | null {
  if (active !== null || asyncScopes === 0) return active;
  const scope = asyncScope.getStore();
  return scope?.isOpen ? scope : null;
}

// ---- outside every scope: the collector ----

interface Collected {
  handle: Handle;
  bytes: number;
  /** Whether it counts as loose: nobody asked for it to stay. */
  loose: boolean;
}

const WARN_TENSORS = 10_000;
const WARN_BYTES = 2 ** 30;
let looseTensors = 0;
let looseBytes = 0;
let warned = false;

const registry = new FinalizationRegistry<Collected>((entry) => {
  native.release(entry.handle);
  forget(entry);
});

function forget(entry: Collected): void {
  countLoose(entry, false);
  native.adjustExternalMemory(-entry.bytes);
}

function countLoose(entry: Collected, loose: boolean): void {
  if (entry.loose === loose) return;
  entry.loose = loose;
  looseTensors += loose ? 1 : -1;
  looseBytes += loose ? entry.bytes : -entry.bytes;
}

/** Hands a tensor to the garbage collector: it is freed some time after it was last reachable. */
function leaveToCollector(resource: OwnedHandle, loose: boolean): void {
  const entry: Collected = { handle: resource.handle, bytes: native.ownBytes(resource.handle), loose: false };
  resource.owner = null;
  resource.collected = entry;
  registry.register(resource, entry, resource);
  countLoose(entry, loose);
  native.adjustExternalMemory(entry.bytes);
  if (loose && !warned && (looseTensors > WARN_TENSORS || looseBytes > WARN_BYTES)) warnOnce();
}

function warnOnce(): void {
  warned = true;
  process.emitWarning(
    `${looseTensors} tensors (${(looseBytes / 2 ** 20).toFixed(0)} MiB) outside any scope wait for the garbage collector, which ` +
      'may come late. Wrap the body of the loop in torch.scope(() => ...), or dispose() what you no longer need.',
    { type: 'NudgeMemoryWarning' },
  );
}

// ---- what Tensor's methods need ----

/** Takes a tensor out of its scope: from now on only dispose(), or the collector, frees it. */
export function keep(resource: OwnedHandle): void {
  const scope = resource.owner;
  if (scope !== null) {
    leaveToCollector(resource, false);
    scope.forget();
  } else if (resource.collected !== null) {
    countLoose(resource.collected, false);
  }
}

/** Forgets a tensor without freeing it: it has been freed by hand, or given away. */
export function disown(resource: OwnedHandle): void {
  const entry = resource.collected;
  if (entry !== null) {
    registry.unregister(resource);
    resource.collected = null;
    forget(entry);
  }
  const scope = resource.owner;
  resource.owner = null;
  resource.handle = 0;
  scope?.forget();
}

// ---- the public forms ----

/** Moves every tensor in a returned value (through arrays, plain objects, Maps and Sets) from `scope` to its parent. */
function moveOut(value: unknown, scope: Scope): void {
  const seen = new Set<unknown>();
  // A list of what is left to visit, not recursion: a tree may be deeper than the stack.
  const left: unknown[] = [value];
  while (left.length > 0) {
    const node = left.pop();
    if (typeof node !== 'object' || node === null || seen.has(node)) continue;
    seen.add(node);
    if (node instanceof OwnedHandle) moveTensor(node, scope);
    else for (const child of childrenOf(node)) left.push(child);
  }
}

function moveTensor(tensor: OwnedHandle, scope: Scope): void {
  if (tensor.owner !== scope) return;
  // The parent of an asynchronous scope may have closed while it waited.
  let outer = scope.parent;
  while (outer !== null && !outer.isOpen) outer = outer.parent;
  if (outer !== null) outer.add(tensor);
  else leaveToCollector(tensor, true);
}

function childrenOf(node: object): Iterable<unknown> {
  if (Array.isArray(node) || node instanceof Set) return node;
  if (node instanceof Map) return [...node.keys(), ...node.values()];
  const prototype = Object.getPrototypeOf(node);
  return prototype === Object.prototype || prototype === null ? Object.values(node) : [];
}

/** Throws when a function that had to be synchronous returned a Promise. */
export function refusePromise<T>(result: T, problem: string, remedy: string): T {
  if (typeof (result as { then?: unknown } | null)?.then !== 'function') return result;
  // It may well fail later, for this very reason; the caller is told now.
  Promise.resolve(result).catch(() => {});
  throw new NudgeError('BAD_ARGUMENT', problem, { remedy });
}

/** Opens a scope until the end of the `using` block: `using scope = torch.scope()`. */
export function scope(): Scope;
/**
 * Runs `fn` and frees every tensor made inside, except those in the returned value, which move to the enclosing scope.
 *
 * @throws NudgeError `BAD_ARGUMENT` when `fn` returns a Promise.
 */
export function scope<T>(fn: () => T): T;
export function scope<T>(fn?: () => T): T | Scope {
  const inner = new Scope(currentScope());
  const before = active;
  active = inner;
  if (fn === undefined) {
    queueMicrotask(() => warnIfAwaited(inner));
    return inner;
  }
  try {
    const problem = 'torch.scope() got an async function: its tensors would be freed while it runs';
    const result = refusePromise(fn(), problem, 'Use `await torch.scopeAsync(async () => ...)`.');
    moveOut(result, inner);
    return result;
  } finally {
    inner.close();
    active = before;
  }
}

/** A block scope belongs to synchronous code: across an await it would take in the tensors of whoever runs meanwhile. */
function warnIfAwaited(block: Scope): void {
  if (!block.isOpen) return;
  if (active !== null && isInside(active, block)) active = block.parent;
  process.emitWarning(
    'A torch.scope() block was left open: opened without `using`, or across an await. Write `using scope = torch.scope()` in ' +
      'synchronous code, and use torch.scopeAsync() around awaits.',
    { type: 'NudgeMemoryWarning' },
  );
}

/** `scope` for async functions: what is made inside, also after awaits and in what it calls, is freed when it settles. */
export async function scopeAsync<T>(fn: () => Promise<T>): Promise<T> {
  const inner = new Scope(currentScope());
  asyncScopes++;
  try {
    const result = await startIn(inner, fn);
    moveOut(result, inner);
    return result;
  } finally {
    asyncScopes--;
    inner.close();
  }
}

/** A synchronous scope would hide the asynchronous one during the function's first, synchronous part; so it steps aside. */
function startIn<T>(inner: Scope, fn: () => Promise<T>): Promise<T> {
  const before = active;
  active = null;
  try {
    return asyncScope.run(inner, fn);
  } finally {
    active = before;
  }
}

/** Tensors outside every scope that wait for the collector. */
export function looseMemory(): { tensors: number; bytes: number } {
  return { tensors: looseTensors, bytes: looseBytes };
}
