/** A curve in a line of text. */

const BARS = '▁▂▃▄▅▆▇█';

/** @param values the latest last; those before the last `width` are left out. */
export function sparkline(values: readonly number[], width = 16): string {
  const shown = values.filter(Number.isFinite).slice(-width);
  const [low, high] = [Math.min(...shown), Math.max(...shown)];
  // A flat line is in the middle: it has no top.
  const level = (value: number) => (high > low ? (value - low) / (high - low) : 0.5);
  return shown.map((value) => BARS[Math.min(BARS.length - 1, Math.floor(level(value) * BARS.length))]).join('');
}
