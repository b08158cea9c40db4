/**
 * OpenAssistant's conversation trees: at every question with several answers people ranked them (arXiv:2304.07327;
 * Apache-2.0).
 */

import * as z from 'zod';
import type { ChatMessage } from '../../text/index.ts';
import type { RankingRecord } from '../records.ts';
import { readAs } from './readAs.ts';

interface Node {
  message_id: string;
  text: string;
  role: 'prompter' | 'assistant';
  rank?: number | null | undefined;
  deleted?: boolean | undefined;
  replies?: Node[] | undefined;
}

const node: z.ZodType<Node> = z.lazy(() =>
  z.object({
    message_id: z.string(),
    text: z.string(),
    role: z.enum(['prompter', 'assistant']),
    rank: z.int().min(0).nullish(),
    deleted: z.boolean().optional(),
    replies: z.array(node).optional(),
  }),
);
const schema = z.object({ message_tree_id: z.string(), prompt: node });

/**
 * One ranking for every question that has two ranked answers or more; answers without a rank are kept as unranked. Their rank 0
 * becomes 1. Questions of one tree share their beginning: split with `{ group: 'tree' }`.
 */
export async function readOasstTrees(path: string): Promise<RankingRecord[]> {
  const records: RankingRecord[] = [];
  for await (const { value } of readAs(path, schema)) collect(value.prompt, [], value.message_tree_id, records);
  return records;
}

function collect(at: Node, before: readonly ChatMessage[], tree: string, into: RankingRecord[]): void {
  const role = at.role === 'prompter' ? 'user' : 'assistant';
  const thread = [...before, { role, content: at.text }];
  const replies = (at.replies ?? []).filter((reply) => !reply.deleted);
  if (role === 'user' && replies.filter(({ rank }) => typeof rank === 'number').length >= 2) {
    into.push({
      prompt: thread,
      completions: replies.map(({ text }) => text),
      ranks: replies.map(({ rank }) => (typeof rank === 'number' ? rank + 1 : null)),
      extra: { tree, message: at.message_id },
    });
  }
  for (const reply of replies) collect(reply, thread, tree, into);
}
