/**
 * What llama.cpp makes of GGUF files: `llama-client.ts FOLDER REQUESTS`, the folder of node-llama-cpp and a file with
 * `ClientRequest`s. The answers are the last line of standard output.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ClientAnswer, ClientRequest } from '../support/llama.ts';

const [folder, path] = process.argv.slice(2) as [string, string];
const requests = JSON.parse(readFileSync(path, 'utf8')) as ClientRequest[];
const library = join(folder, 'node_modules/node-llama-cpp/dist/index.js');
const { getLlama } = await import(pathToFileURL(library).href);
const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, progressLogs: false, maxThreads: 1 });

async function answer({ model: modelPath, texts, greedy, tokens, score }: ClientRequest): Promise<ClientAnswer> {
  const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
  const context = await model.createContext({
    contextSize: 256,
    sequences: 1,
    threads: 1,
    flashAttention: false,
    // In half precision, the default, it is no longer the same model.
    experimentalKvCacheKeyType: 'F32',
    experimentalKvCacheValueType: 'F32',
  });
  const sequence = context.getSequence();

  /** As llama.cpp reads a prompt: the beginning of text comes first where the file says so. */
  const tokenise = (text: string): number[] => {
    const ids = model.tokenize(text, true);
    return model.tokens.shouldPrependBosToken ? [model.tokens.bos, ...ids] : ids;
  };
  const goOn = async (ids: readonly number[]): Promise<number[]> => {
    await sequence.clearHistory();
    const completion: number[] = [];
    for await (const id of sequence.evaluate([...ids], { temperature: 0, yieldEogToken: true })) {
      completion.push(id);
      if (completion.length === tokens) break;
    }
    return completion;
  };
  const logprobs = async (ids: readonly number[]): Promise<number[]> => {
    await sequence.clearHistory();
    const asked = ids.slice(0, -1).map((id) => [id, { generateNext: { probabilities: true } }]);
    const told = await sequence.controlledEvaluate(asked);
    return ids.slice(1).map((id, i) => Math.log(told[i].next.probabilities.get(id)));
  };

  const made: ClientAnswer = { ids: texts.map(tokenise), greedy: [], scores: [] };
  for (const ids of greedy) made.greedy.push(await goOn(ids));
  for (const ids of score) made.scores.push(await logprobs(ids));
  await model.dispose();
  return made;
}

const answers: ClientAnswer[] = [];
for (const request of requests) answers.push(await answer(request));
process.stdout.write(`\n${JSON.stringify(answers)}\n`);
await llama.dispose();
