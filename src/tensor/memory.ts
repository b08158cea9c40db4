/** What is alive, and where it was made. */

import { callerOf } from './caller.ts';
import { native } from './native.ts';
import { looseMemory, type OwnedHandle, onTensorMade } from './scope.ts';

export interface MemoryReport {
  /** Live tensors of this process, all threads. */
  tensors: number;
  /** Bytes behind them, each storage counted once; includes what the autograd graph shares with them, not what it alone holds. */
  bytes: number;
  /** Tensors of this thread outside every scope, which wait for `dispose()` or the garbage collector. */
  loose: number;
  /** With `debugMemory(true)`: the lines that made the live tensors of this thread, the busiest first. */
  madeAt?: { place: string; tensors: number }[];
}

let places: Map<WeakRef<OwnedHandle>, string> | null = null;

/** Records where each tensor is made from now on. Costs about 10 us a tensor: for finding a leak, not for training. */
export function debugMemory(enabled: boolean): void {
  places = enabled ? new Map() : null;
  onTensorMade(enabled ? (made) => places?.set(new WeakRef(made), callerOf(new Error().stack) ?? 'unknown') : null);
}

/** How many tensors are alive and how much they hold. */
export function memory(): MemoryReport {
  const report: MemoryReport = { ...native.memory(), loose: looseMemory().tensors };
  if (places === null) return report;
  const counts = new Map<string, number>();
  for (const [reference, place] of places) {
    const made = reference.deref();
    if (made === undefined || !native.isLive(made.handle)) places.delete(reference);
    else counts.set(place, (counts.get(place) ?? 0) + 1);
  }
  report.madeAt = [...counts].map(([place, tensors]) => ({ place, tensors })).sort((a, b) => b.tensors - a.tensors);
  return report;
}
