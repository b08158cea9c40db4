/**
 * Chat templates for base models that have none. Choosing one is the user's decision: a model that was not trained with
 * it has to learn it. They mark the assistant's turns, so that masks are exact.
 */

export interface BuiltinTemplate {
  source: string;
  /** Tokens that must each be one token of the vocabulary. */
  tokens: readonly string[];
}

const turns = (open: string, close: string): string =>
  `{%- for message in messages -%}` +
  `{{- ${open} -}}` +
  `{%- if message['role'] == 'assistant' -%}` +
  `{%- generation -%}{{- message['content'] | trim + ${close} -}}{%- endgeneration -%}` +
  `{%- else -%}{{- message['content'] | trim + ${close} -}}{%- endif -%}`;

export const BUILTIN_TEMPLATES = {
  /** Qwen, SmolLM2 and many others. */
  chatml: {
    source:
      `${turns(`'<|im_start|>' + message['role'] + '\\n'`, `'<|im_end|>'`)}{{- '\\n' -}}{%- endfor -%}` +
      `{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}`,
    tokens: ['<|im_start|>', '<|im_end|>'],
  },
  'llama-3': {
    source:
      `{{- bos_token -}}` +
      `${turns(`'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'`, `'<|eot_id|>'`)}{%- endfor -%}` +
      `{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}{%- endif -%}`,
    tokens: ['<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'],
  },
  /** Plain text headings; needs no token but the end of text. */
  zephyr: {
    source:
      `${turns(`'<|' + message['role'] + '|>\\n'`, `eos_token`)}{{- '\\n' -}}{%- endfor -%}` +
      `{%- if add_generation_prompt -%}{{- '<|assistant|>\\n' -}}{%- endif -%}`,
    tokens: [],
  },
} as const satisfies Record<string, BuiltinTemplate>;

export type BuiltinTemplateName = keyof typeof BUILTIN_TEMPLATES;
