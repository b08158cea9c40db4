/**
 * What set-up shows while it works: one line that updates itself on a terminal, plain lines in a log.
 *
 * It writes to stderr, so that stdout stays free for results.
 */

/** In a log, a running step says that it lives this often. */
const LOG_INTERVAL_MS = 15_000;
const DRAW_INTERVAL_MS = 100;

/**
 * @typedef {object} Sink
 * @property {(text: string) => unknown} write
 * @property {boolean} [isTTY]
 * @property {number} [columns]
 */

export class Progress {
  /** @type {Sink} */
  #sink;
  #now;
  #label = '';
  #detail = '';
  #stepStart = 0;
  #phaseStart = 0;
  #share = 0;
  #lastDraw = 0;
  #lastLog = 0;
  #step = 0;
  #steps = 0;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;

  /**
   * @param {Sink} sink
   * @param {() => number} [now] Milliseconds.
   */
  constructor(sink, now = () => performance.now()) {
    this.#sink = sink;
    this.#now = now;
  }

  /** @param {number} steps How many steps there will be. */
  plan(steps) {
    this.#steps = steps;
    this.#step = 0;
  }

  /** @param {string} label What the step does, in a few words. */
  begin(label) {
    this.#step++;
    this.#label = label;
    this.#stepStart = this.#now();
    this.#lastLog = this.#stepStart;
    this.#startPhase('');
    if (this.#sink.isTTY) {
      this.#tick();
    } else {
      this.#sink.write(`${this.#prefix()} ${label}\n`);
    }
  }

  /**
   * @param {string} detail For example "compiling 3/9 sources".
   * @param {number} [share] How much of the phase is done, 0 to 1; it gives the time that is left.
   */
  update(detail, share = 0) {
    if (share < this.#share) this.#startPhase(detail);
    this.#detail = detail;
    this.#share = share;
    const now = this.#now();
    if (this.#sink.isTTY) {
      if (now - this.#lastDraw >= DRAW_INTERVAL_MS) this.#draw();
    } else if (now - this.#lastLog >= LOG_INTERVAL_MS) {
      this.#lastLog = now;
      this.#sink.write(`${this.#prefix()} ${this.#text()}\n`);
    }
  }

  /** @param {string} result What the step came to. */
  end(result) {
    this.#clear();
    this.#sink.write(`${this.#prefix()} ${result} (${seconds(this.#now() - this.#stepStart)})\n`);
    this.#label = '';
  }

  /** @param {string} text A line that stays. */
  note(text) {
    this.#clear();
    this.#sink.write(`${text}\n`);
    if (this.#label !== '' && this.#sink.isTTY) this.#tick();
  }

  /** Removes the updating line, before an error message. */
  stop() {
    this.#clear();
    this.#label = '';
  }

  #tick() {
    this.#draw();
    this.#timer = setInterval(() => this.#draw(), 500);
    this.#timer.unref();
  }

  /** @param {string} detail */
  #startPhase(detail) {
    this.#detail = detail;
    this.#share = 0;
    this.#phaseStart = this.#now();
  }

  #prefix() {
    return this.#steps > 1 ? `[${this.#step}/${this.#steps}]` : '-';
  }

  #text() {
    const elapsed = this.#now() - this.#phaseStart;
    const left = this.#share > 0.02 ? `, about ${seconds((elapsed * (1 - this.#share)) / this.#share)} left` : '';
    const detail = this.#detail === '' ? '' : `: ${this.#detail}`;
    return `${this.#label}${detail}, ${seconds(this.#now() - this.#stepStart)}${left}`;
  }

  #draw() {
    this.#lastDraw = this.#now();
    // A terminal that does not know its width says 0.
    const width = Math.max(20, (this.#sink.columns || 80) - 1);
    this.#sink.write(`\r\x1b[2K${`${this.#prefix()} ${this.#text()}`.slice(0, width)}`);
  }

  #clear() {
    clearInterval(this.#timer);
    if (this.#sink.isTTY) this.#sink.write('\r\x1b[2K');
  }
}

/**
 * @param {number} ms
 * @returns {string} For example "0.4 s", "12 s", "2 min 5 s".
 */
export function seconds(ms) {
  const s = ms / 1000;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  const whole = Math.round(s);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/**
 * @param {number} bytes
 * @returns {string} In MB or GB of 10^6 and 10^9 bytes.
 */
export function size(bytes) {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`;
}

/**
 * @param {number} share
 * @returns {string} For example 63 %.
 */
export function percent(share) {
  return `${(100 * share).toFixed(0)} %`;
}
