/**
 * One simulated labeller: how it sees answers, and what it says about them.
 *
 * It values an answer at u = score / noise + biases, with a rubric of its own, and orders the answers of a task by u + Gumbel: that
 * is Plackett-Luce, and Bradley-Terry for each pair, P(a over b) = sigma(u_a - u_b). Then it makes the mistakes that people
 * make: ties where it sees no difference, flips, rankings that stop after the best few.
 */
import { z } from 'zod';
import { drawsOf } from './draws.ts';
import type { Features } from './features.ts';
import { RubricSchema, scoreFeatures } from './rubric.ts';

const chance = (value: number) => z.number().min(0).max(1).default(value);

/** What makes labellers err. Biases and thresholds are in logits: 1 makes odds of 2.7 to 1 out of even ones. */
export const ErrorsSchema = z.strictObject({
  noise: z
    .number()
    .positive()
    .max(100)
    .default(0.08)
    .describe('Score difference that is worth one logit. Smaller: labellers follow the rubric more closely.'),
  positionBias: z
    .number()
    .min(-10)
    .max(10)
    .default(0.05)
    .describe('Logits by which the first shown is ahead of the last.'),
  lengthBias: z.number().min(-10).max(10).default(0.1).describe('Logits for an answer of twice as many words.'),
  tieThreshold: z.number().min(0).max(10).default(0.4).describe('Answers less than this many logits apart are tied.'),
  flipChance: chance(0.05).describe('How often two answers of a ranking are swapped (alpaca_farm: 0.25, on pairs).'),
  partialChance: chance(0.1).describe('How often only the best few of three or more answers are ranked.'),
  noneGoodBelow: chance(0.05).describe('"None is good" where the best answer seems to score less than this.'),
});

export const ProfileSchema = z.strictObject({ rubric: RubricSchema, ...ErrorsSchema.shape, seed: z.int().min(0) });

/** All that decides how a labeller judges; stored with it. */
export type Profile = z.output<typeof ProfileSchema>;

/** An answer as a labeller looks at it. */
export interface Seen {
  readonly features: Features;
  readonly words: number;
}

export interface Verdict {
  /** One an answer: 1 is best, equal numbers are a tie, null was not ranked. */
  readonly ranks: (number | null)[];
  readonly noneGood: boolean;
  /** 1 to 4, by the logits between the best and the next; null where all are tied. */
  readonly strength: number | null;
}

/** What the labeller thinks of each answer, in logits, before noise. @param order positions in the order shown. */
export function utilities(profile: Profile, answers: readonly Seen[], order: readonly number[]): number[] {
  const slots = Math.max(1, answers.length - 1);
  return answers.map(({ features, words }, position) => {
    const shown = order.indexOf(position);
    return (
      scoreFeatures(features, profile.rubric) / profile.noise +
      profile.positionBias * (1 - shown / slots) +
      profile.lengthBias * Math.log2(1 + words)
    );
  });
}

/** The verdict on a task. Only profile, name, task, answers and order decide it. */
export function judge(
  profile: Profile,
  name: string,
  task: string,
  answers: readonly Seen[],
  order: readonly number[],
): Verdict {
  const draws = drawsOf(profile.seed, name, task);
  const noise = answers.map(() => draws.gumbel());
  const values = utilities(profile, answers, order).map((value, i) => value + (noise[i] as number));
  const sorted = values.map((_, i) => i).sort((a, b) => (values[b] as number) - (values[a] as number));
  const groups: number[][] = [];
  for (const position of sorted) {
    const group = groups.at(-1);
    // Against the best of the group, so that a chain of small steps does not tie the ends.
    if (group === undefined || gap(values, group[0] as number, position) >= profile.tieThreshold)
      groups.push([position]);
    else group.push(position);
  }
  const [best, next] = groups;
  const lead = best === undefined || next === undefined ? null : gap(values, best[0] as number, next[0] as number);
  const ranks: (number | null)[] = answers.map((_, i) => groups.findIndex((group) => group.includes(i)) + 1);
  swap(ranks, profile.flipChance, draws);
  leaveOut(ranks, groups.length, profile.partialChance, draws);
  const scores = answers.map(({ features }) => scoreFeatures(features, profile.rubric));
  // A glance of the same unsteadiness as the ranking's: noise times a centred Gumbel draw.
  const impression = Math.max(...scores) + profile.noise * (draws.gumbel() - EULER) * 0.5;
  return { ranks, noneGood: impression < profile.noneGoodBelow, strength: lead === null ? null : strengthOf(lead) };
}

/** The mean of a standard Gumbel. */
const EULER = 0.5772156649015329;

function gap(values: readonly number[], above: number, below: number): number {
  return (values[above] as number) - (values[below] as number);
}

function swap(ranks: (number | null)[], probability: number, draws: ReturnType<typeof drawsOf>): void {
  const flips = draws.uniform() < probability;
  if (!flips || ranks.length < 2) return;
  const i = draws.below(ranks.length);
  const j = (i + 1 + draws.below(ranks.length - 1)) % ranks.length;
  [ranks[i], ranks[j]] = [ranks[j] as number, ranks[i] as number];
}

/** Keeps the best levels, at least two; with fewer than three there is nothing to leave out. */
function leaveOut(
  ranks: (number | null)[],
  levels: number,
  probability: number,
  draws: ReturnType<typeof drawsOf>,
): void {
  if (draws.uniform() >= probability || levels < 3) return;
  const kept = 2 + draws.below(levels - 2);
  ranks.forEach((rank, i) => {
    if (rank !== null && rank > kept) ranks[i] = null;
  });
}

/** 1 up to even odds to 5 in 8, 2 to 4 in 5, 3 to 19 in 20, 4 beyond: logits of 0.5, 1.5 and 3. */
function strengthOf(logits: number): number {
  return logits < 0.5 ? 1 : logits < 1.5 ? 2 : logits < 3 ? 3 : 4;
}
