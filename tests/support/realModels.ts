/** Models that others trained, where they are on this machine. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cachedModel } from '../../src/models/gguf/testing.ts';
import { type CausalModel, GgufWeights, loadModel, modelFromWeights, openGguf } from '../../src/models/index.ts';
import { sharedData } from '../../src/models/testing.ts';
import type { DType } from '../../src/tensor/index.ts';
import { loadTokenizer, type Tokenizer, tokenizerFromGguf } from '../../src/text/index.ts';

export interface RealModel extends Disposable {
  readonly model: CausalModel;
  readonly tokenizer: Tokenizer;
}

interface Source {
  readonly name: string;
  /** Why it cannot be had here, and what helps; null when it can. */
  readonly missing: string | null;
  open(dtype?: DType): Promise<RealModel>;
}

/** What scripts/golden/smollm2.py expects of SmolLM2. */
export interface SmolLM2Case {
  readonly prompt: string | { role: string; content: string }[];
  readonly text: string;
  readonly ids: number[];
  readonly completion: number[];
  readonly logprobs: number[];
  /** How far transformers' log-probabilities of them are off when it computes in bfloat16. */
  readonly bfloat16: { readonly mean: number; readonly max: number };
}

interface SmolLM2Golden {
  readonly bytes: number;
  readonly cases: readonly SmolLM2Case[];
}

const GOLDEN = join(import.meta.dirname, '../golden/data/smollm2.json');
export const SMOLLM2_GOLDEN = JSON.parse(readFileSync(GOLDEN, 'utf8')) as SmolLM2Golden;

const smollm2Path = await cachedModel('SmolLM2-135M-Instruct.Q4_1.gguf', SMOLLM2_GOLDEN.bytes);

/** From its GGUF file in Q4_1, in the cache. */
export const SMOLLM2: Source = {
  name: 'SmolLM2-135M-Instruct',
  missing:
    smollm2Path === null
      ? 'SmolLM2 is not in the cache; `node bin/nudge.js models pull smollm2-135m-instruct` fetches it'
      : null,
  open: (dtype) => openGgufModel(smollm2Path!, dtype),
};

/** Models of children's stories, a fraction of a second to load. */
export const STORY_MODELS: readonly Source[] = ['stories260K', 'babyllama-tok105'].map((name) => {
  const { path, missing } = sharedData(`models/${name}`);
  return {
    name,
    missing,
    open: async (dtype = 'float32') => opened(await loadModel(path, { dtype }), await loadTokenizer(path)),
  };
});

export async function openGgufModel(path: string, dtype: DType = 'float32'): Promise<RealModel> {
  await using file = await openGguf(path);
  await using weights = await GgufWeights.of(file);
  const tokenizer = tokenizerFromGguf(file.metadata, path);
  return opened(await modelFromWeights(weights.config, weights, { dtype }), tokenizer);
}

const opened = (model: CausalModel, tokenizer: Tokenizer): RealModel => ({
  model,
  tokenizer,
  [Symbol.dispose]: () => model.dispose(),
});
