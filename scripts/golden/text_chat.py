"""Chats through transformers' apply_chat_template. The templates are worded here, after those of well-known models."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

CHATML_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LLAMA3_TOKENS = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>"]

# A default system message, as SmolLM2 has one.
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# Tools and a default system message, as Qwen2.5 has them.
QWEN25 = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You help.' }}
    {%- endif %}
    {{- '\\n\\n# Tools\\n<tools>' }}
    {%- for tool in tools %}
        {{- '\\n' }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- '\\n</tools><|im_end|>\\n' }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou help.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) or (message.role == 'assistant' and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for call in message.tool_calls %}
            {%- if call.function is defined %}
                {%- set call = call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}
            {{- call.name }}
            {{- '", "arguments": ' }}
            {{- call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.index0 == 0 or messages[loop.index0 - 1].role != 'tool' %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

# Turns must alternate, and there is no system role.
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('user and assistant must take turns, the user first') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant speak here') }}{% endif %}{% endfor %}"
)

ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

# ChatML that marks what the assistant says.
MARKED = """{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- generation %}
        {{- message.content + '<|im_end|>' }}
        {%- endgeneration %}
        {{- '\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}"""

MARKED_TEXT = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}\n"
    "  {% generation %}{{ 'A: ' ~ message['content'] ~ eos_token }}{% endgeneration %}\n"
    "{% else %}{{ message['role'] ~ ': ' ~ message['content'] }}\n{% endif %}{% endfor %}"
)

TURNS = [
    {"role": "user", "content": "What is 12 + 30?"},
    {"role": "assistant", "content": "It is 42."},
    {"role": "user", "content": "Überraschend! 漢字 🙂?"},
    {"role": "assistant", "content": "Yes,\n  quite.  "},
]
SYSTEM = [{"role": "system", "content": "Answer briefly."}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tells the weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "größe <b> & 'c'"}}},
        },
    }
]
CALLS = [
    {"role": "user", "content": "Weather in Bern?"},
    {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Bern", "days": 2}}}]},
    {"role": "tool", "content": "sunny"},
    {"role": "assistant", "content": "Sunny."},
]

CHATS = {
    "question": TURNS[:1],
    "answered": TURNS[:2],
    "conversation": TURNS,
    "system": SYSTEM + TURNS,
}


def with_tokens(base: Tokenizer, tokens: list[str]) -> Tokenizer:
    tokenizer = Tokenizer.from_str(base.to_str())
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in tokens])
    return tokenizer


def cases(byte_level: Tokenizer, llama: Tokenizer, folder: Path) -> dict:
    chatml = with_tokens(byte_level, CHATML_TOKENS)
    llama3 = with_tokens(byte_level, LLAMA3_TOKENS)
    bases = {"chatml": chatml, "llama3": llama3, "llama": llama}
    special = {
        "chatml": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        "llama3": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
        "llama": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    }
    models = [
        ("smollm2", "chatml", SMOLLM2),
        ("qwen2.5", "chatml", QWEN25),
        ("llama3", "llama3", LLAMA3),
        ("mistral", "llama", MISTRAL),
        ("zephyr", "llama", ZEPHYR),
        ("marked", "chatml", MARKED),
        ("marked text", "llama", MARKED_TEXT),
    ]
    out = []
    for name, base, template in models:
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=bases[base], chat_template=template, **special[base])
        chats = dict(CHATS)
        if name == "qwen2.5":
            chats["tools"] = CALLS
        if name == "mistral":
            del chats["system"]
        entries = []
        for title, messages in chats.items():
            tools = TOOLS if title == "tools" else None
            for prompt in (False, True):
                said = dict(messages=messages, tools=tools, add_generation_prompt=prompt)
                text = tokenizer.apply_chat_template(said["messages"], tools=tools, add_generation_prompt=prompt, tokenize=False)
                marked = "generation %}" in template
                encoded = tokenizer.apply_chat_template(
                    messages, tools=tools, add_generation_prompt=prompt, tokenize=True, return_dict=True,
                    return_assistant_tokens_mask=marked,
                )
                entry = {**said, "chat": title, "text": text, "ids": list(encoded["input_ids"])}
                if marked:
                    entry["mask"] = list(encoded["assistant_masks"])
                entries.append(entry)
        out.append({"name": name, "tokenizer": base, "template": template, "chats": entries})
    files = {
        name: {"tokenizer.json": json.loads(bases[name].to_str()), "tokenizer_config.json": special[name]} for name in bases
    }
    return {"tokenizers": files, "models": out}
