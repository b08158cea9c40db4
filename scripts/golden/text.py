"""Makes the golden files of src/text from Python's tokenizers, sentencepiece, tiktoken and transformers:

    pip install tokenizers==0.23.3 sentencepiece==0.2.3 tiktoken==0.14.0 transformers==5.23.0 jinja2
    python scripts/golden/text.py [SHARED_DATA]

`text-tokenizers.json` holds small tokenizers that are trained here, each with what it makes of every text;
`text-fixtures.json` what the references make of the files in SHARED_DATA/fixtures/torchtune;
`text-chat.json` what apply_chat_template makes of chats, with the masks of the assistant's tokens.
"""

import json
import sys
import tempfile
from pathlib import Path

import sentencepiece
import tiktoken
from tiktoken.load import load_tiktoken_bpe
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import text_chat

OUT = Path(__file__).resolve().parents[2] / "tests" / "golden" / "data"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and then it's gone. We'll see 1234 of them by 2025!",
    "Once upon a time there was a little girl named Lily. She loved to play outside in the park with her friends.",
    "def main():\n    for i in range(10):\n        print(i, i * i)\n\treturn None\n",
    "Die Prüfung überraschte die größten Köche; naïve café, déjà vu, piñata.",
    "Быстрая лиса прыгает через ленивую собаку. 漢字とかなが混ざった文章です。 한국어 문장도 있다.",
    "Question: What is 12 + 30?\nAnswer: 42.\n\nQuestion: Why?\nAnswer: Because 12 plus 30 is 42.",
] * 4

TEXTS = [
    "",
    " ",
    "  ",
    "\n",
    "\n\n\n a",
    "Hello world",
    " Hello  world ",
    "Hello, y'all! How are you 😁 ? I'M fine; they'Ll",
    "\tdef f(x):\n\t\treturn x**2  # 1,234.5\r\n",
    "cafe\u0301 naïve ﬁne Ａ １２ ½ ² ٣ İ ß",
    "漢字 かな 한국어 नमस्ते ไทย עברית العربية",
    "🙂🏳️‍🌈👩‍👩‍👧‍👧 \u200b\u00a0\u3000x\ufeff",
    "a<s>b</s> c<|im_start|>user\n<|im_end|>  <mask> word<mask>s <keep>this",
    "zero\x00byte \x01\x7f\x85 end",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "=" * 70 + " " * 40 + "-" * 9,
    "▁already▁spelled ▁ here",
    "1 12 123 1234 12345 3.14 1e-5 x1y2",
]


def utf16(text: str, offset: int) -> int:
    return len(text[:offset].encode("utf-16-le")) // 2


def trained(tokenizer: Tokenizer, kind: str, size: int, alphabet: list[str] | None = None, special: list = []) -> Tokenizer:
    if kind == "bpe":
        trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet or [], special_tokens=special, show_progress=False)
    else:
        trainer = trainers.UnigramTrainer(
            vocab_size=size, unk_token="<unk>", special_tokens=special, show_progress=False
        )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_level(pre: list, normalizer=None, prefix_space: bool = False, use_regex: bool = False) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    last = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space, use_regex=use_regex)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*pre, last]) if pre else last
    tokenizer.decoder = decoders.ByteLevel()
    trained(tokenizer, "bpe", 520, pre_tokenizers.ByteLevel.alphabet())
    return tokenizer


def plain_bytes(tokenizer: Tokenizer) -> Tokenizer:
    """Takes the byte tokens out of the added tokens: they are spelled so in the vocabulary alone."""
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if not token["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(data))


def llama_like() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    # Trained on words, as SentencePiece does, and used on whole texts.
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trained(tokenizer, "bpe", 640, special=["<unk>", "<s>", "</s>", *BYTES])
    tokenizer = Tokenizer.from_str(json.dumps({**json.loads(tokenizer.to_str()), "pre_tokenizer": None}))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return plain_bytes(tokenizer)


def metaspace_first() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    tokenizer.decoder = decoders.Sequence([decoders.Metaspace(prepend_scheme="first", split=True)])
    trained(tokenizer, "bpe", 640, special=["<unk>", "<s>", "</s>", *BYTES])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return plain_bytes(tokenizer)


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return trained(tokenizer, "unigram", 400, special=["<unk>", "<s>", "</s>"])


def isolated(pattern: str):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def tokenizers_by_name() -> dict[str, Tokenizer]:
    gpt2 = byte_level([], use_regex=True)
    llama3 = byte_level([isolated(LLAMA3)])
    llama3.add_special_tokens(["<s>", "</s>", "<|im_start|>", "<|im_end|>"])
    begin = llama3.token_to_id("<s>")
    llama3.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", begin)])]
    )
    nfc = byte_level([isolated(LLAMA3)], normalizers.NFC())
    nfc.add_special_tokens(["<s>", "</s>", "<|im_start|>", "<|im_end|>"])
    digits = byte_level([pre_tokenizers.Digits(individual_digits=True)], use_regex=True)
    prefixed = byte_level([pre_tokenizers.Punctuation("contiguous")], prefix_space=True, use_regex=True)
    added = byte_level([], normalizers.Lowercase(), use_regex=True)
    added.add_tokens(
        [
            AddedToken("<mask>", lstrip=True, rstrip=False, normalized=False),
            AddedToken("<keep>", lstrip=False, rstrip=True, normalized=True),
            AddedToken("word", single_word=True, normalized=True),
            AddedToken("fox", normalized=True),
        ]
    )
    behaviours = byte_level(
        [
            pre_tokenizers.Split(Regex(r"\s"), "merged_with_next"),
            pre_tokenizers.Split("-", "merged_with_previous"),
            pre_tokenizers.Split("=", "contiguous"),
            pre_tokenizers.Split(Regex("[aeiou]+"), "isolated"),
            pre_tokenizers.Split("x", "removed"),
        ]
    )
    return {
        "gpt2": gpt2,
        "llama3": llama3,
        "nfc": nfc,
        "digits": digits,
        "prefixed": prefixed,
        "added": added,
        "behaviours": behaviours,
        "llama": llama_like(),
        "metaspace": metaspace_first(),
        "unigram": unigram(),
    }


def golden_tokenizers() -> list[dict]:
    cases = []
    for name, tokenizer in tokenizers_by_name().items():
        entries = []
        for text in TEXTS:
            encoding = tokenizer.encode(text)
            plain = tokenizer.encode(text, add_special_tokens=False)
            entries.append(
                {
                    "text": text,
                    "ids": encoding.ids,
                    "offsets": [[utf16(text, start), utf16(text, end)] for start, end in plain.offsets],
                    "decoded": tokenizer.decode(plain.ids, skip_special_tokens=False),
                    "skipped": tokenizer.decode(encoding.ids, skip_special_tokens=True),
                }
            )
        cases.append({"name": name, "tokenizer": json.loads(tokenizer.to_str()), "texts": entries})
    return cases


def golden_fixtures(folder: Path) -> dict[str, list]:
    found = {}
    for name in ["tokenizer.json", "tiny_bpe_tokenizer.json"]:
        tokenizer = Tokenizer.from_file(str(folder / name))
        found[name] = [[text, tokenizer.encode(text).ids] for text in TEXTS]
    for name in ["m.model", "sentencepiece.model"]:
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / name))
        # Control tokens are words like any other to SentencePiece; a text that spells them is another matter.
        found[name] = [[text, model.encode(text)] for text in TEXTS if "<s>" not in text]
    ranks = load_tiktoken_bpe(str(folder / "tiktoken_small.model"))
    encoding = tiktoken.Encoding("small", pat_str=LLAMA3, mergeable_ranks=ranks, special_tokens={})
    found["tiktoken_small.model"] = [[text, encoding.encode(text)] for text in TEXTS]
    return found


def write(name: str, value: object) -> None:
    (OUT / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(name, (OUT / name).stat().st_size)


def main() -> None:
    write("text-tokenizers.json", golden_tokenizers())
    if len(sys.argv) > 1:
        write("text-fixtures.json", golden_fixtures(Path(sys.argv[1]) / "fixtures" / "torchtune"))
    with tempfile.TemporaryDirectory() as folder:
        write("text-chat.json", text_chat.cases(byte_level([isolated(LLAMA3)]), llama_like(), Path(folder)))


if __name__ == "__main__":
    main()
