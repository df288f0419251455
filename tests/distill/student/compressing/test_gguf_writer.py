"""The GGUF file against the model's own mathematics, in real llama.cpp; and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.ports import UpstreamCall
from distill.student.compressing.gguf_tokenizer import NotConvertible
from distill.student.compressing.gguf_writer import Precision, write_gguf
from router.upstreams.gguf import GGUFUpstream
from tests.distill.student.worked_llama import next_token, save_weights, tokens_of, write_llama

QUESTIONS = (
    "How do I return my grinder?",
    "  two blanks\n\n\tand 12345 of them, I'LL we've don't",
    "¿Cuándo llegará? “ñandú” 日本語 😀",
    "to_end <|end|> is a token",
)


async def first_tokens(path: Path, *more: dict[str, str]) -> list[tuple[int, list[tuple[float, str]]]]:
    """For each question how many tokens llama.cpp read, and its three best next ones."""
    upstream = GGUFUpstream("tiny", path, threads=1, context=256, start_s=60)
    await upstream.start()
    try:
        found = []
        for question in QUESTIONS:
            body = {
                "model": "tiny",
                "messages": [*more, {"role": "user", "content": question}],
                "temperature": 0,
                "max_tokens": 1,
                "logprobs": True,
                "top_logprobs": 3,
            }
            call = UpstreamCall(endpoint="chat/completions", body=body, request_id="r", first_byte_s=60, stall_s=60)
            data = (await upstream.send(call)).data
            listed = data["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
            found.append((data["usage"]["prompt_tokens"], [(each["logprob"], each["token"]) for each in listed]))
    finally:
        await upstream.close()
    return found


@pytest.mark.gguf
@pytest.mark.parametrize(
    ("tied", "kind", "precision", "off"),
    [
        (True, "F32", "f16", 0.03),
        (False, "F16", "f16", 0.03),
        (True, "F16", "q8_0", 0.2),
        (True, "F16", "q4_0", 1.0),
    ],
)
async def test_it_says_what_the_model_says(
    tmp_path: Path, tied: bool, kind: str, precision: Precision, off: float
) -> None:
    weights = write_llama(tmp_path / "model", tied=tied, kind=kind)
    assert write_gguf(tmp_path / "model", tmp_path / "tiny.gguf", precision) == ""
    found = await first_tokens(tmp_path / "tiny.gguf", {"role": "system", "content": "You are kind."})
    for question, (read, best) in zip(QUESTIONS, found, strict=True):
        tokens = tokens_of(tmp_path / "model", question)
        assert read == len(tokens), (
            f"{question}: the instructions are left out, and each word is read as it was learned"
        )
        expected = np.sort(next_token(weights, tokens))[::-1][:3]
        assert np.allclose([logprob for logprob, _ in best], expected, atol=off), question


def test_smaller_forms_are_smaller_and_rows_of_odd_length_stay_as_they_are(tmp_path: Path) -> None:
    write_llama(tmp_path / "model")
    sizes = []
    for precision in ("f16", "q8_0", "q4_0"):
        write_gguf(tmp_path / "model", tmp_path / f"{precision}.gguf", precision)  # type: ignore[arg-type]
        sizes.append((tmp_path / f"{precision}.gguf").stat().st_size)
    assert sizes[0] > 1.4 * sizes[1] > 1.4 * sizes[2], sizes
    weights = write_llama(tmp_path / "odd", intermediate_size=100)
    odd = {
        name: np.ones((64, 100) if "down" in name else (100, 64), np.float32) if ".mlp." in name else values
        for name, values in weights.items()
    }
    save_weights(tmp_path / "odd", odd)
    said = write_gguf(tmp_path / "odd", tmp_path / "odd.gguf", "q8_0")
    assert said == "2 of its matrices stay F16: their rows are no multiples of 32"


def config(**fields: Any) -> Callable[[Path], None]:
    return lambda folder: change(folder / "config.json", fields)


def tokenizer(**fields: Any) -> Callable[[Path], None]:
    return lambda folder: change(folder / "tokenizer.json", fields)


def change(path: Path, fields: dict[str, Any]) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def with_bias(folder: Path) -> None:
    weights = write_llama(folder.parent / "other")
    save_weights(folder, {**weights, "model.layers.0.self_attn.q_proj.bias": np.ones(128, np.float32)})


BLANKS = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
SPECIAL = {"id": 0, "content": "<|end|>", "special": True, "lstrip": True, "rstrip": False}


@pytest.mark.parametrize(
    ("break_it", "why"),
    [
        (config(architectures=["Qwen2ForCausalLM"]), "it is a Qwen2ForCausalLM"),
        (config(hidden_act="gelu"), "another activation"),
        (config(quantization_config={"bits": 4}), "compressed already"),
        (config(rope_parameters={"rope_type": "llama3", "factor": 8}), "stretches its context"),
        (config(tie_word_embeddings=False), r"lm_head\.weight is missing"),
        (config(eos_token_id=None), "0 tokens that end an answer"),
        (config(vocab_size=100), "tokens beyond the 100"),
        (config(num_hidden_layers="two"), r"config\.json is odd"),
        (with_bias, r"self_attn\.q_proj\.bias is one too many"),
        (tokenizer(normalizer={"type": "Lowercase"}), "changes text before it splits it"),
        (tokenizer(pre_tokenizer=BLANKS), "splits text in a way that is not known here"),
        (tokenizer(pre_tokenizer={"type": "Whitespace"}), "splits text in a way that is not known here"),
        (tokenizer(added_tokens=[SPECIAL]), "takes the blanks around special tokens away"),
        (tokenizer(model={"type": "Unigram"}), "no byte-level BPE"),
        (lambda folder: change(folder / "tokenizer_config.json", {"chat_template": None}), "no chat template"),
        (lambda folder: (folder / "tokenizer.json").unlink(), r"it has no tokenizer\.json"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), r"its tokenizer\.json is damaged"),
    ],
)
def test_what_llama_cpp_would_do_otherwise_is_refused(
    tmp_path: Path, break_it: Callable[[Path], None], why: str
) -> None:
    write_llama(tmp_path / "model")
    break_it(tmp_path / "model")
    with pytest.raises(NotConvertible, match=why):
        write_gguf(tmp_path / "model", tmp_path / "tiny.gguf", "f16")
    assert not (tmp_path / "tiny.gguf").exists()


ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LETTERS = r"|[^\r\n\p{L}\p{N}]?\p{L}+|"


def steps(first: dict[str, Any], *, regex: bool) -> dict[str, Any]:
    last = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": regex}
    return {"type": "Sequence", "pretokenizers": [first, last]}


def by(digits: str) -> dict[str, Any]:
    pattern = {"Regex": f"{ENDINGS}{LETTERS}{digits}{REST}"}
    return steps({"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}, regex=False)


@pytest.mark.gguf
@pytest.mark.parametrize(
    ("pre_tokenizer", "ignore_merges"),
    [
        (steps({"type": "Digits", "individual_digits": True}, regex=True), False),
        (by(r"\p{N}"), False),
        (by(r"\p{N}{1,3}"), True),
    ],
    ids=["smollm", "qwen2", "llama-bpe"],
)
async def test_other_ways_to_split_text_are_llama_cpps_too(
    tmp_path: Path, pre_tokenizer: dict[str, Any], ignore_merges: bool
) -> None:
    weights = write_llama(tmp_path / "model")
    path = tmp_path / "model" / "tokenizer.json"
    model = {**json.loads(path.read_text())["model"], "ignore_merges": ignore_merges}
    change(path, {"pre_tokenizer": pre_tokenizer, "model": model})
    write_gguf(tmp_path / "model", tmp_path / "tiny.gguf", "f16")
    found = await first_tokens(tmp_path / "tiny.gguf")
    for question, (read, best) in zip(QUESTIONS, found, strict=True):
        tokens = tokens_of(tmp_path / "model", question)
        assert read == len(tokens), question
        assert abs(best[0][0] - next_token(weights, tokens).max()) < 0.03, question
