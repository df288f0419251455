"""The stage: what is made, what is refused and why, and that nothing is made twice or kept by half."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from distill.student.child import StageFailed
from distill.student.compressing.compress import Compressed, compress, read_compressed
from distill.student.compressing.settings import CompressSettings, EngineSettings, VLLMSettings
from distill.student.compressing.weights import read_tensors
from distill.student.examples import Example, write_examples
from tests.distill.student.worked_llama import write_llama
from tests.tiny_llama import write_tiny_adapter

WITH_VLLM = EngineSettings(vllm=VLLMSettings(python="/nowhere/python"))
LLM_COMPRESSOR = "WEIR_TEST_LLMCOMPRESSOR_PYTHON"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_llama(tmp_path / "model")
    return tmp_path / "model"


def compressed(
    model: Path,
    engines: EngineSettings = WITH_VLLM,
    *,
    examples: Path | None = None,
    adapter: Path | None = None,
    **settings: Any,
) -> Compressed:
    return compress(
        model,
        CompressSettings(**settings),
        engines=engines,
        folder=model.parent / "compress",
        tell=lambda *_: None,
        examples=examples,
        adapter=adapter,
    )


def stamps(folder: Path) -> dict[str, int]:
    return {
        str(file): file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file() and file.parent != folder
    }


def test_each_variant_has_a_folder_and_a_line_in_the_table(model: Path) -> None:
    done = compressed(model, variants=("f16", "q8_0", "bf16", "2:4", "structured"))
    assert [(made.name, made.engine, made.files) for made in done.variants] == [
        ("f16", "gguf", ("f16.gguf",)),
        ("q8_0", "gguf", ("q8_0.gguf",)),
        ("bf16", "vllm", ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")),
    ]
    for variant in done.variants:
        sizes = [(done.folder_of(variant) / file).stat().st_size for file in variant.files]
        assert variant.bytes == sum(sizes)
    assert [refused.name for refused in done.refused] == ["2:4", "structured"]
    assert "vLLM and llm-compressor have dropped theirs" in done.refused[0].reason
    assert read_compressed(done.folder) == done
    report = (done.folder / "compress.md").read_text()
    assert "| `q8_0` | gguf | 0." in report
    assert "| `structured` | - | - | not made: Cut unevenly" in report


def test_bf16_is_the_model_in_bfloat16(model: Path) -> None:
    done = compressed(model, variants=("bf16",))
    folder = done.folder_of(done.variants[0])
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    assert {tensor.kind for tensor in read_tensors(folder).values()} == {"BF16"}
    assert (folder / "tokenizer.json").read_bytes() == (model / "tokenizer.json").read_bytes()


def test_nothing_is_made_twice_and_all_is_made_again_of_another_model(model: Path) -> None:
    folder = compressed(model, variants=("f16", "bf16")).folder
    before = stamps(folder)
    (folder / "q8_0.new").mkdir()  # left by a run that was killed
    (folder / "q8_0.new" / "q8_0.gguf").write_bytes(b"GG")
    assert len(compressed(model, variants=("f16", "bf16", "q8_0")).made) == 3
    assert before.items() <= stamps(folder).items()
    assert not (folder / "q8_0.new").exists()
    (folder / "f16" / "f16.gguf").write_bytes(b"half of it")
    compressed(model, variants=("f16", "bf16"))
    now = stamps(folder)
    assert {Path(name).name for name in before if now[name] != before[name]} == {"f16.gguf", "made.json"}
    assert not (folder / "q8_0").exists(), "nobody asks for it any more"
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-4}))
    compressed(model, variants=("f16", "bf16"))
    assert not set(now.items()) & set(stamps(folder).items())


def test_a_model_of_another_kind_is_refused_with_advice_and_its_own_file_taken(model: Path, tmp_path: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "architectures": ["Qwen2ForCausalLM"]}))
    given = tmp_path / "made_elsewhere.gguf"
    given.write_bytes(b"GGUF and so on")
    done = compressed(model, variants=("q8_0",), given={"q4_k_m": str(given)})
    assert [made.variant.name for made in done.made] == ["q4_k_m"]
    assert (done.folder / "q4_k_m" / "q4_k_m.gguf").read_bytes() == given.read_bytes()
    assert done.refused[0].reason == (
        "This model cannot be written as GGUF here: it is a Qwen2ForCausalLM. Convert it with llama.cpp's own "
        "convert_hf_to_gguf.py, and name the file in `compress.given`."
    )
    given.write_bytes(b"ZIP")
    with pytest.raises(StageFailed, match="is no GGUF file"):
        compressed(model, variants=("q8_0",), given={"q4_k_m": str(given)})


def test_an_adapter_is_a_variant_of_its_own_on_its_base(model: Path, tmp_path: Path) -> None:
    adapter = write_tiny_adapter(tmp_path / "adapter")
    (adapter / "README.md").write_text("PEFT writes one, and the registry takes no capitals.")
    done = compressed(model, variants=("q8_0", "lora"), adapter=adapter)
    lora = done.variants[1]
    assert (lora.engine, lora.adapter, lora.base) == ("vllm", True, "tiny")
    assert lora.files == ("adapter_config.json", "adapter_model.safetensors")
    assert "the LoRA adapter alone, on its base; on tiny" in (done.folder / "compress.md").read_text()
    before = stamps(done.folder)
    compressed(model, variants=("q8_0", "lora"), adapter=adapter)
    assert stamps(done.folder) == before
    write_tiny_adapter(adapter, seed=2)
    compressed(model, variants=("q8_0", "lora"), adapter=adapter)
    assert {Path(name).parent.name for name, at in stamps(done.folder).items() if at != before[name]} == {"lora"}
    none = compressed(model, variants=("lora",), adapter=tmp_path / "gone")
    assert none.refused[0].reason.startswith("No adapter was trained: set `train.adapter.kind: lora`")


def test_what_nothing_here_runs_is_not_made(model: Path) -> None:
    done = compressed(model, EngineSettings(), variants=("bf16", "fp8"))
    assert done.made == ()
    assert all("set `engines.vllm.python`" in refused.reason for refused in done.refused)


def test_llm_compressor_is_asked_for_where_it_is_needed(model: Path) -> None:
    with pytest.raises(StageFailed, match=r"name the Python of an environment .* as `compress\.python`"):
        compressed(model, variants=("fp8",))
    with pytest.raises(StageFailed, match="fitted to examples, and none were handed over"):
        compressed(model, variants=("w8a8",), python="/nowhere/python")
    with pytest.raises(StageFailed, match="/nowhere/python cannot be run"):
        compressed(model, variants=("fp8",), python="/nowhere/python")


@pytest.mark.parametrize(
    "wrong",
    [
        {"variants": ()},
        {"variants": ("f16", "f16")},
        {"variants": ("q3",)},
        {"variants": ("bf16", "lora")},
        {"given": {"Q4_K_M": "a.gguf"}},
        {"variants": ("q8_0",), "given": {"q8_0": "a.gguf"}},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CompressSettings(**wrong)


def test_a_damaged_list_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "variants.json").write_text("{}")
    with pytest.raises(ValueError, match=r"variants\.json is damaged .*: compress again"):
        read_compressed(tmp_path)


@pytest.mark.skipif(LLM_COMPRESSOR not in os.environ, reason=f"{LLM_COMPRESSOR} names no Python with llmcompressor")
def test_llm_compressor_makes_what_vllm_reads(model: Path, tmp_path: Path) -> None:
    examples = [
        Example(
            id=str(each),
            intent="a",
            messages=({"role": "user", "content": f"What is {each}?"},),
            answer="It is.",
            group="",
        )
        for each in range(20)
    ]
    write_examples(tmp_path / "train.jsonl", examples)
    done = compressed(
        model,
        variants=("fp8", "w8a8", "w4a16"),
        python=os.environ[LLM_COMPRESSOR],
        calibration=8,
        examples=tmp_path / "train.jsonl",
    )
    assert [made.note for made in done.made] == [
        "",
        "fitted to 7 examples",
        "one scale for 32 weights; fitted to 7 examples",
    ]
    for made in done.made:
        config = msgspec.json.decode((done.folder_of(made.variant) / "config.json").read_bytes())
        assert config["quantization_config"]["quant_method"] == "compressed-tensors"
        assert {"model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= set(made.variant.files)
        assert made.variant.bytes < 200_000
