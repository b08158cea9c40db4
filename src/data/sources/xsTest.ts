/**
 * XSTest: does a model refuse what is safe, or comply with what is not? Prompts come in pairs that look alike; five models'
 * answers were labelled by people (Röttger et al., arXiv:2308.01263; CC-BY 4.0).
 */

import * as z from 'zod';
import type { UnpairedRecord } from '../records.ts';
import { readAs } from './readAs.ts';

const schema = z.object({
  id: z.string(),
  type: z.string(),
  prompt: z.string().min(1),
  completion: z.string(),
  final_label: z.enum(['1_full_compliance', '2_full_refusal', '3_partial_refusal']),
});

/**
 * The answers of one model (`xstest_v2_completions_*.csv`): good where a safe question was answered, or an unsafe one refused.
 * Partial refusals are neither and are left out. The prompts alone (`xstest_prompts.csv`) need no function of their own.
 */
export async function readXsTest(path: string): Promise<UnpairedRecord[]> {
  const records: UnpairedRecord[] = [];
  for await (const { value } of readAs(path, schema)) {
    const { id, type, prompt, completion, final_label: found } = value;
    if (found === '3_partial_refusal' || completion.trim() === '') continue;
    const isSafe = !type.startsWith('contrast_');
    const label = isSafe === (found === '1_full_compliance');
    records.push({ prompt, completion, label, extra: { id, type } });
  }
  return records;
}
