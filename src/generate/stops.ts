/** Looks for stop strings in text that arrives in pieces. */
export class StopScanner {
  readonly #stops: readonly string[];
  #held = '';
  #found = false;

  /** @param stops none of them empty. */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** Whether a stop string was found; what comes after it is dropped. */
  get found(): boolean {
    return this.#found;
  }

  /** The text that is certain not to belong to a stop string. */
  push(text: string): string {
    if (this.#found) return '';
    if (this.#stops.length === 0) return text;
    const all = this.#held + text;
    const places = this.#stops.map((stop) => all.indexOf(stop)).filter((at) => at >= 0);
    if (places.length > 0) {
      this.#found = true;
      this.#held = '';
      return all.slice(0, Math.min(...places));
    }
    const certain = all.length - this.#unfinished(all);
    this.#held = all.slice(certain);
    return all.slice(0, certain);
  }

  /** What was held back, when no more text comes. */
  end(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }

  /** How many characters at the end may be the beginning of a stop string. */
  #unfinished(text: string): number {
    let most = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > most; length--) {
        if (stop.startsWith(text.slice(text.length - length))) most = length;
      }
    }
    return most;
  }
}
