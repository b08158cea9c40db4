/**
 * Compares sides fairly: in every round each side works for one block while the others wait, so that a machine that slows down
 * slows all of them down. The result of a block is the median over its chunks, the result of a case the median over its rounds.
 */

import type { Body, Case, Group, PeerWork, Result } from './case.ts';
import type { Peer } from './peers/peer.ts';
import { median, ratio, spread } from './statistics.ts';

export interface Plan {
  /** How often the sides take turns. */
  rounds: number;
  /** How long a side works in a round; longer where three repetitions take longer. */
  blockMs: number;
  /** How long each side works before the first round: compilers, caches and allocators settle. */
  warmUpMs: number;
  /** Silence between two blocks: OpenMP's threads spin for some milliseconds after their last work. */
  pauseMs: number;
}

/** A block is this many chunks, as far as the work can be cut up. */
const CHUNKS = 10;
/** ... and never fewer, unless a single repetition takes longer than two blocks. */
const MIN_CHUNKS = 3;

/** One side of a case, ready to work. */
export interface Side {
  warmUp(plan: Plan): Promise<void>;
  /** Works for a block and returns the seconds of one repetition. */
  block(plan: Plan): Promise<number>;
  end(): Promise<void>;
}

/** A side in this process. `peers/server.py` does the same in Python. */
export class LocalSide implements Side {
  readonly #body: Body;
  #times: number;
  #seconds = 0;

  constructor(body: Body) {
    this.#body = body;
    this.#times = body.multiple ?? 1;
  }

  async warmUp({ warmUpMs, blockMs }: Plan): Promise<void> {
    const multiple = this.#body.multiple ?? 1;
    for (let spent = 0; spent * 1000 < warmUpMs; ) {
      const seconds = await this.#body.time(this.#times);
      spent += seconds;
      this.#seconds = seconds / this.#times;
      const wanted = blockMs / CHUNKS / 1000 / this.#seconds;
      // Growing step by step: the first calls, not compiled yet, say little about the later ones.
      this.#times = Math.max(multiple, Math.floor(Math.min(wanted, this.#times * 10) / multiple) * multiple);
    }
  }

  async block({ blockMs }: Plan): Promise<number> {
    const chunks: number[] = [];
    const least = this.#seconds * 1000 > 2 * blockMs ? 1 : MIN_CHUNKS;
    for (let spent = 0; spent * 1000 < blockMs || chunks.length < least; ) {
      const seconds = await this.#body.time(this.#times);
      spent += seconds;
      chunks.push(seconds / this.#times);
    }
    return median(chunks);
  }

  async end(): Promise<void> {
    await this.#body.end?.();
  }
}

interface Sides {
  nudge: Side;
  peer: Side | null;
  limit: Side | null;
}

/** The seconds of one repetition, one number a round. */
type Seconds = Record<keyof Sides, number[]>;

/**
 * Measures the cases of a group one after the other.
 *
 * @param peer The Python process; null leaves PyTorch's side out.
 * @param onCase Called before each case.
 */
export async function measureGroup(
  group: Group,
  plan: Plan,
  peer: Peer | null,
  onCase: (name: string) => void,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const benchCase of group.cases) {
    onCase(benchCase.name);
    results.push(await measureCase(benchCase, plan, peer));
  }
  // A limit that is found among the results needs all of them.
  return results.map((result) => {
    const limit = result.case.limit;
    return limit !== undefined && 'among' in limit ? { ...result, limit: limit.among(results) } : result;
  });
}

async function measureCase(benchCase: Case, plan: Plan, peer: Peer | null): Promise<Result> {
  const { limit } = benchCase;
  const sides: Sides = {
    nudge: new LocalSide(benchCase.nudge()),
    peer: peer === null ? null : await peerSide(benchCase.peer, peer),
    limit: limit !== undefined && 'body' in limit ? new LocalSide(limit.body()) : null,
  };
  try {
    return summarise(benchCase, await takeTurns(sides, plan));
  } finally {
    for (const side of [sides.nudge, sides.peer, sides.limit]) await side?.end();
  }
}

async function peerSide(work: PeerWork | (() => Body) | undefined, peer: Peer): Promise<Side | null> {
  if (work === undefined) return null;
  return typeof work === 'function' ? new LocalSide(work()) : peer.prepare(work);
}

/** Each round in the other order than the one before, so that no side always comes first. */
async function takeTurns(sides: Sides, plan: Plan): Promise<Seconds> {
  const seconds: Seconds = { nudge: [], peer: [], limit: [] };
  const order = (['nudge', 'peer', 'limit'] as const).filter((name) => sides[name] !== null);
  for (const name of order) {
    await sides[name]?.warmUp(plan);
    await pause(plan.pauseMs);
  }
  for (let round = 0; round < plan.rounds; round++) {
    for (const name of round % 2 === 0 ? order : order.toReversed()) {
      seconds[name].push(await sides[name]!.block(plan));
      await pause(plan.pauseMs);
    }
  }
  return seconds;
}

function summarise(benchCase: Case, seconds: Seconds): Result {
  const { value, better, limit } = benchCase;
  const nudge = seconds.nudge.map(value);
  const peer = seconds.peer.map(value);
  const ratios = peer.map((theirs, round) => ratio(nudge[round]!, theirs, better));
  return {
    case: benchCase,
    nudge: median(nudge),
    peer: peer.length === 0 ? null : median(peer),
    limit: limit !== undefined && 'body' in limit ? median(seconds.limit.map(limit.value)) : null,
    spread: { nudge: spread(nudge), peer: peer.length === 0 ? null : spread(peer) },
    ratios: ratios.length === 0 ? null : { low: Math.min(...ratios), high: Math.max(...ratios) },
  };
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
