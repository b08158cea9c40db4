/**
 * The questions of FineGrainedRLHF with four sampled answers each, compared by people pair by pair (arXiv:2306.01693;
 * Apache-2.0). Ties and answers that are the same give no pair.
 */

import * as z from 'zod';
import type { PreferenceRecord } from '../records.ts';
import { readAs } from './readAs.ts';

const schema = z.object({
  question: z.string().min(1),
  'prediction 1': z.string(),
  'prediction 2': z.string(),
  'prediction 3': z.string(),
  'prediction 4': z.string(),
  preference: z.array(z.union([z.literal(0), z.literal(1), z.literal(2)])).length(6),
});

/** What the six judgements compare, in the order of the file. */
const COMPARED = [
  [1, 2],
  [1, 3],
  [1, 4],
  [2, 3],
  [2, 4],
  [3, 4],
] as const;

/** All pairs of `train_feedback.json` or `dev_feedback.json` in which one answer was preferred. */
export async function readFineGrainedQa(path: string): Promise<PreferenceRecord[]> {
  const records: PreferenceRecord[] = [];
  for await (const { value } of readAs(path, schema)) {
    const { question: prompt, preference } = value;
    for (const [i, [a, b]] of COMPARED.entries()) {
      const winner = preference[i];
      const [first, second] = [value[`prediction ${a}`], value[`prediction ${b}`]];
      const [chosen, rejected] = winner === 1 ? [first, second] : [second, first];
      if (winner === 0 || chosen === rejected || chosen.trim() === '') continue;
      records.push({ prompt, chosen, rejected, extra: { compared: `${a} vs ${b}` } });
    }
  }
  return records;
}
