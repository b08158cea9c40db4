/**
 * UKPConvArg1Strict: pairs of arguments on the same side of a debate, and which of them people found more convincing
 * (Habernal and Gurevych, ACL 2016; CC-BY 4.0). One file a debate and side; the debate is known by the file's name alone.
 */

import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as z from 'zod';
import { NudgeError } from '../../errors.ts';
import type { PreferenceRecord } from '../records.ts';
import { readAs } from './readAs.ts';

const schema = z.object({
  '#id': z.string(),
  label: z.enum(['a1', 'a2']),
  a1: z.string().min(1),
  a2: z.string().min(1),
});

/**
 * All pairs of a folder such as `UKPConvArg1Strict-CSV`. Split them with `{ group: 'debate' }`: both sides of a debate share it,
 * and every argument is in many pairs.
 *
 * @throws NudgeError BAD_FILE where the folder holds something else.
 */
export async function readUkpConvArg(folder: string): Promise<PreferenceRecord[]> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.csv')).sort();
  if (names.length === 0) {
    throw new NudgeError('BAD_FILE', 'There are no debates in this folder.', {
      path: folder,
      expected: 'the .csv files of UKPConvArg1Strict-CSV',
    });
  }
  const records: PreferenceRecord[] = [];
  // Tabs, and no quotes: a quotation mark is part of the argument.
  const options = { delimiter: '\t', quote: null };
  const paths = names.map((name) => join(folder, name));
  for await (const { value, where } of readAs(paths, schema, options)) {
    const { debate, side } = debateOf(basename(where.file));
    const [first, second] = [plainText(value.a1), plainText(value.a2)];
    const [chosen, rejected] = value.label === 'a1' ? [first, second] : [second, first];
    const prompt = `Debate: ${debate.replaceAll('-', ' ')}\nArgue for this side: ${side}`;
    records.push({ prompt, chosen, rejected, extra: { debate, side, id: value['#id'] } });
  }
  return records;
}

/** `tv-is-better-than-books_tv.csv`: the debate, then the side. */
function debateOf(name: string): { debate: string; side: string } {
  const [debate = '', side = ''] = name.replace(/\.csv$/, '').split('_');
  return { debate: debate.replace(/-$/, ''), side: side.replaceAll('-', ' ').trim() };
}

function plainText(argument: string): string {
  return argument.replaceAll(/ *<br\/> */g, '\n').trim();
}
