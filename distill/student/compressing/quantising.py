"""The child that llm-compressor runs in: a model with its linear layers in fewer bits, as vLLM reads it.

It imports nothing of Weir's and runs in an environment of its own, as `python -P -m` with the path of an order. The
output rows (`lm_head`) stay as they are: they are the tokens' vectors in most small models.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_SCHEMES = {"fp8": "FP8_DYNAMIC", "w8a8": "W8A8", "w4a16": "W4A16"}
_GROUPS = (128, 64, 32)
"""Weights that share a scale in W4A16, the largest that divides every row; where none does, a row has one."""
_LONGEST = 2048
"""Tokens of a calibration example."""


def main() -> None:
    """Order: `model`, `form`, `examples` (JSON lines; empty where none are needed), `most`, `threads`, `out`."""
    order = json.loads(Path(sys.argv[1]).read_bytes())
    _say("loading", 0, 3)
    import torch
    from llmcompressor import oneshot
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(order["threads"])
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(order["model"])
    model = AutoModelForCausalLM.from_pretrained(order["model"], dtype=torch.bfloat16)
    group = _group(model) if order["form"] == "w4a16" else 0
    _say("quantising", 1, 3)
    told: dict[str, Any] = {}
    if order["examples"]:
        told = {"dataset": _rendered(order, tokenizer), "max_seq_length": _LONGEST, "pipeline": "basic"}
        told["num_calibration_samples"] = len(told["dataset"])
    oneshot(model=model, tokenizer=tokenizer, recipe=_recipe(order["form"], group), **told)
    _say("saving", 2, 3)
    out = Path(order["out"])
    model.save_pretrained(out, save_compressed=True)
    (out / "note.json").write_text(json.dumps({"group": group, "examples": told.get("num_calibration_samples", 0)}))
    _say("saved", 3, 3)


def _recipe(form: str, group: int) -> Any:
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier

    if form == "fp8":
        return QuantizationModifier(targets="Linear", scheme=_SCHEMES[form], ignore=["lm_head"])
    if form == "w8a8":
        return GPTQModifier(targets="Linear", scheme=_SCHEMES[form], ignore=["lm_head"])
    weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": group}
    if group < 0:
        weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "channel"}
    return GPTQModifier(config_groups={"all": {"targets": ["Linear"], "weights": weights}}, ignore=["lm_head"])


def _group(model: Any) -> int:
    """-1: a row has one scale."""
    import torch

    rows = [
        module.in_features
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    ]
    return next((group for group in _GROUPS if not any(row % group for row in rows)), -1)


def _rendered(order: dict[str, Any], tokenizer: Any) -> Any:
    """Examples as the student sees them in use, with their answers: the tokens of each."""
    from datasets import Dataset

    lines = [line for line in Path(order["examples"]).read_bytes().splitlines() if line.strip()]
    rows = []
    for line in lines[:: max(1, -(-len(lines) // order["most"]))]:  # from all of the file: it may be in some order
        example = json.loads(line)
        turns = [*example["messages"], {"role": "assistant", "content": example["answer"]}]
        text = tokenizer.apply_chat_template(turns, tokenize=False)
        tokens = tokenizer(text, add_special_tokens=False, truncation=True, max_length=_LONGEST)
        rows.append({"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]})
    return Dataset.from_list(rows)


def _say(what: str, step: int, steps: int) -> None:
    print(json.dumps({"what": what, "step": step, "steps": steps}), flush=True)


if __name__ == "__main__":
    main()
