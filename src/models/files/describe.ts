/**
 * Text for error messages out of values that may come from a hostile file: short, and without characters that steer a
 * terminal or hide what is there.
 */

const LONGEST = 120;
// C1 controls, line separators and the bidirectional overrides: JSON leaves them as they are, a terminal does not.
const INVISIBLE = /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** A string in quotes, escaped and cut to a readable length. */
export function quote(text: string): string {
  const cut = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
  return JSON.stringify(cut).replace(INVISIBLE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A list of names, the first few in full. */
export function quoteSome(names: readonly string[], most = 5): string {
  const shown = names.slice(0, most).map(quote).join(', ');
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}

/** A shape as `[2, 3]`, cut when it is absurdly long. */
export function showShape(shape: readonly number[]): string {
  return shape.length > 16
    ? `[${shape.slice(0, 16).join(', ')}, … ${shape.length} dimensions]`
    : `[${shape.join(', ')}]`;
}

/** A count of bytes with its unit, exact, because sizes are compared. */
export function bytes(count: number): string {
  return `${count.toLocaleString('en-US')} byte${count === 1 ? '' : 's'}`;
}
