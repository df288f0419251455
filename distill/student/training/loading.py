"""The models of a training before its first step: the student to be, and the teacher where it is a local one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from distill.student.training import tiny
from distill.student.training.guides import Guides
from distill.student.training.losses import GUIDE_HEAD
from distill.student.training.recipe import Recipe, RecipeFault


@dataclass(frozen=True, kw_only=True)
class Start:
    """A model before its first step, its tokenizer, and the teacher where there is a local one."""

    model: Any
    tokenizer: Any
    teacher: Any | None
    precision: str


def loaded(
    recipe: Recipe,
    examples: Sequence[Mapping[str, Any]],
    questions: Sequence[str],
    texts: Sequence[str],
    guides: Guides | None,
    threads: int,
) -> Start:
    """Raises RecipeFault where a model cannot be loaded, or the teacher has other tokens."""
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    precision = _precision(recipe.precision)
    if recipe.base:
        tokenizer, model = _load(recipe.base, "base")
    else:
        tokenizer = tiny.make_tokenizer(
            recipe.scratch,
            questions=questions,
            others=[*texts, *dict.fromkeys(str(one["answer"]) for one in examples for _ in range(2))],
            words=guides.words if guides else (),
            intents=[str(one["intent"]) for one in examples],
        )
        model = tiny.make_model(recipe.scratch, tokenizer, guides)
        if guides is not None and recipe.guidance is not None:
            model.add_module(GUIDE_HEAD, torch.nn.Linear(recipe.scratch.hidden, guides.vectors.shape[1]))
    teacher = _teacher(recipe, tokenizer) if recipe.logits.teacher else None
    return Start(model=model, tokenizer=tokenizer, teacher=teacher, precision=precision)


def _load(name: str, setting: str) -> tuple[Any, Any]:
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise RecipeFault(f"{setting}: {name} cannot be loaded as a causal language model: {error}") from error
    if tokenizer.chat_template is None:
        raise RecipeFault(f"{setting}: {name} has no chat template: take a model that was tuned for chat")
    return tokenizer, model


def _teacher(recipe: Recipe, tokenizer: Any) -> Any:
    name = recipe.logits.teacher
    theirs, teacher = _load(name, "logits.teacher")
    if theirs.get_vocab() != tokenizer.get_vocab():
        raise RecipeFault(
            f"logits.teacher: {name} has other tokens than the student, so that their probabilities cannot be "
            "compared: take a base of the teacher's family, or leave it out and learn from its answers"
        )
    return teacher.eval().requires_grad_(False)


def _precision(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    if not torch.cuda.is_available():
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
