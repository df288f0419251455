"""Training in earnest, of a toy: what it writes, that a kill changes nothing, adapters and teachers."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="there is no torch: make test-train")

from distill.student.training.recipe import RecipeFault  # needs no torch, but the rest does
from distill.student.training.train import obey, read_order
from tests.distill.student.training import toy

# What transformers and peft warn of among themselves is not about our code.
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]


def train(order: Path) -> list[dict[str, Any]]:
    progress = io.StringIO()
    obey(read_order(order), progress)
    return [json.loads(line) for line in progress.getvalue().splitlines()]


def weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where a student was trained in `out`."""
    folder = tmp_path_factory.mktemp("trained")
    train(toy.write_order(folder))
    return folder


def test_it_writes_a_model_its_figures_and_a_plot(trained: Path) -> None:
    out = trained / "out"
    assert sorted(path.name for path in out.iterdir()) == ["begun.json", "loss.svg", "model", "train.json"]
    assert sorted(path.name for path in (out / "model").iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    told = json.loads((out / "train.json").read_bytes())
    assert (told["steps"], told["device"], told["precision"]) == (24, "cpu", "fp32")
    assert told["guided"]
    assert told["points"][0][1] > told["points"][-1][1]
    assert told["parameters"] < 100_000
    assert told["energy_wh"] >= 0
    assert "15 W" in told["energy_assumes"]
    assert "polyline" in (out / "loss.svg").read_text()


def test_what_it_learned_with_is_not_in_the_weights(trained: Path) -> None:
    from safetensors import safe_open

    with safe_open(trained / "out" / "model" / "model.safetensors", "np") as file:
        assert not [name for name in file.keys() if "guide" in name]  # noqa: SIM118 - it has no iterator


def test_its_template_leaves_system_messages_out(trained: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(trained / "out" / "model")
    told = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": " How? "},
        {"role": "assistant", "content": "So."},
        {"role": "user", "content": "Why?"},
    ]
    assert tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=True) == (
        "<|user|> How?<|assistant|>So.<|endoftext|><|user|> Why?<|assistant|>"
    )


def test_rows_read_as_the_template_has_them_and_codes_begin_answers(trained: Path) -> None:
    from transformers import AutoTokenizer

    from distill.student.training.guides import read_guides
    from distill.student.training.rows import Rows

    tokenizer = AutoTokenizer.from_pretrained(trained / "out" / "model")
    order = read_order(trained / "out.json")
    examples = [json.loads(line) for line in order.examples.read_text().splitlines()]
    recipe = order.recipe.changed(variation=None, answers=0.4, steps=40)
    batches = Rows(recipe, tokenizer, examples, read_guides(trained / "guides")).batches()
    assert [len(batch) for batch in batches] == [8] * 40
    whole = {
        tokenizer.decode(row.tokens)
        for batch in batches
        for row in batch
        if row.tokens[-1] == tokenizer.eos_token_id
    }
    assert whole == {
        f"<|user|> {question}<|assistant|><|intent:{intent}|>{toy.ANSWERS[intent]}<|endoftext|>"
        for intent, questions in toy.QUESTIONS.items()
        for question in questions
    }
    guided = [row for batch in batches for row in batch if row.guide >= 0]
    assert guided
    assert {len(row.tokens) - row.prompt for row in guided} == {0, 1}


def test_the_same_order_again_does_nothing(trained: Path) -> None:
    before = (trained / "out" / "model").stat().st_mtime_ns
    assert train(trained / "out.json") == [{"step": 24, "steps": 24, "what": "trained already"}]
    assert (trained / "out" / "model").stat().st_mtime_ns == before


def test_another_order_begins_anew(trained: Path) -> None:
    order = toy.write_order(trained, "other", steps=2)
    first = train(order)
    assert (first[0]["what"], first[-1]["steps"]) == ("loading", 2)
    old = weights(trained / "other")
    again = train(toy.write_order(trained, "other", steps=3))
    assert again[-1] == {**again[-1], "step": 3, "what": "training"}
    assert weights(trained / "other") != old


def test_a_training_that_was_killed_ends_with_the_same_weights(trained: Path) -> None:
    order = toy.write_order(trained, "killed")
    command = [sys.executable, "-m", "distill.student.training.train", str(order)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["step"] >= 12:
                process.send_signal(signal.SIGKILL)
                break
    kept = trained / "killed" / "checkpoints"
    assert (kept / "checkpoint-8").is_dir()
    broken = kept / "checkpoint-16"  # as a kill leaves one that is being written
    broken.mkdir(exist_ok=True)
    (broken / "trainer_state.json").write_text("{")
    said = train(order)
    assert next(line["step"] for line in said if line["what"] == "training") == 9
    assert weights(trained / "killed") == weights(trained / "out")
    assert not kept.exists()


def test_a_base_is_trained_with_an_adapter_and_a_teacher(trained: Path) -> None:
    base = str(trained / "out" / "model")
    recipe = {
        "base": base,
        "epochs": 1,
        "batch": 4,
        "accumulate": 2,
        "most_tokens": 96,
        "adapter": {"kind": "lora", "rank": 4},
        "logits": {"teacher": base},
    }
    train(toy.write_order(trained, "lora", **recipe))
    out = trained / "lora"
    assert json.loads((out / "train.json").read_bytes())["steps"] == 2
    assert (out / "adapter" / "adapter_model.safetensors").exists()
    config = json.loads((out / "model" / "config.json").read_bytes())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert weights(out) != weights(trained / "out")
    pickles = [path for path in out.rglob("*") if path.suffix in (".bin", ".pt", ".pth", ".pkl")]
    assert not pickles


def test_a_teacher_with_other_tokens_is_refused(trained: Path) -> None:
    order = toy.write_order(trained, "refused", logits={"teacher": str(trained / "out" / "model")}, seed=3)
    told = json.loads(order.read_bytes())
    told["recipe"]["scratch"] = {**toy.RECIPE["scratch"], "vocab": 400}
    order.write_text(json.dumps(told))
    with pytest.raises(RecipeFault, match="has other tokens than the student"):
        train(order)


def test_examples_that_do_not_fit_are_named(trained: Path, tmp_path: Path) -> None:
    order = toy.write_order(tmp_path, base=str(trained / "out" / "model"), most_tokens=16)
    one = json.loads((tmp_path / "examples.jsonl").read_text().splitlines()[0])
    (tmp_path / "examples.jsonl").write_text(json.dumps({**one, "answer": "on and on " * 20}))
    with pytest.raises(RecipeFault, match="no example fits into 16 tokens"):
        train(order)


def test_a_base_that_is_not_there_is_named(trained: Path) -> None:
    with pytest.raises(RecipeFault, match=r"base: .* cannot be loaded"):
        train(toy.write_order(trained, "absent", base=str(trained / "nothing")))
