"""How a student is trained, as plain JSON has it: from scratch, or on from a model that there is.

The standard library alone, since both Weir and the child that trains read it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
ADAPTERS = ("full", "lora")
_HEAD = 32
"""Of an attention head, least: vLLM's kernels take none that is smaller."""
_ROW = 32
"""Weights of a block that GGUF's eight and four bits share a scale in: a row is of whole blocks."""


class RecipeFault(ValueError):
    """The message names the setting, and says what it may be."""


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """A Llama with a tokenizer of its own, for a recipe without `base`. Embeddings are tied.

    With `codes`, an answer begins with a control token that names its intent and that engines do not show: the
    probability of that one token tells how sure the student is. `dropout` is of what the last layer gives.
    """

    vocab: int = 5000
    hidden: int = 128
    layers: int = 2
    heads: int = 4
    intermediate: int = 256
    positions: int = 512
    dropout: float = 0.1
    codes: bool = True

    def __post_init__(self) -> None:
        _within("scratch.vocab", self.vocab, 300, 200_000)
        _within("scratch.layers", self.layers, 1, 64)
        _within("scratch.heads", self.heads, 1, 128)
        _within("scratch.positions", self.positions, 32, 1 << 20)
        _within("scratch.dropout", self.dropout, 0, 0.9)
        if self.hidden % self.heads or self.hidden // self.heads < _HEAD or self.hidden % _ROW:
            raise RecipeFault(
                f"scratch.hidden: {self.hidden} for {self.heads} heads: a head needs {_HEAD} at least, and the "
                f"whole is a multiple of {_ROW}"
            )
        if self.intermediate < _ROW or self.intermediate % _ROW:
            raise RecipeFault(f"scratch.intermediate: must be a multiple of {_ROW}, not {self.intermediate}")


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """`full` trains all weights; `lora` adds `rank` columns to each layer of `targets`, as PEFT names them."""

    kind: str = "full"
    rank: int = 16
    alpha: int = 32
    targets: str = "all-linear"

    def __post_init__(self) -> None:
        _one_of("adapter.kind", self.kind, ADAPTERS)
        _within("adapter.rank", self.rank, 1, 1024)
        _within("adapter.alpha", self.alpha, 1, 4096)


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How often a question is changed before it is learned, each a probability: `typos`; `synonyms`, of a word that
    has near ones; `drops`, of a word; `fills`, of one more usual word; `mixes`, of two phrasings of one
    intent. `plain` is how often it stays as it is. A word that is usual in the language is dropped twice as often.
    """

    plain: float = 0.1
    typos: float = 0.5
    synonyms: float = 0.35
    drops: float = 0.12
    fills: float = 0.5
    mixes: float = 0.15

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            _within(f"variation.{each.name}", getattr(self, each.name), 0, 0.95 if each.name == "fills" else 1)


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """Texts whose meaning, as the encoder has it, the student learns to tell: `variants` of its questions,
    `fragments` of texts, and `mixtures` of words. `weight` is that loss's, `share` that of the steps.
    """

    variants: int = 12_000
    fragments: int = 4_000
    mixtures: int = 8_000
    weight: float = 5.0
    share: float = 0.55

    def __post_init__(self) -> None:
        for name in ("variants", "fragments", "mixtures"):
            _within(f"guidance.{name}", getattr(self, name), 0, 1_000_000)
        _within("guidance.weight", self.weight, 0, 1000)
        _within("guidance.share", self.share, 0, 0.8)


@dataclass(frozen=True, kw_only=True)
class Logits:
    """Learning from the probabilities of a local `teacher`, a path; "" for none. `share` of the loss is the
    Kullback-Leibler divergence at `temperature`, the rest that of its answers (Hinton et al. 2015,
    arXiv:1503.02531).
    """

    teacher: str = ""
    temperature: float = 2.0
    share: float = 0.5

    def __post_init__(self) -> None:
        _within("logits.temperature", self.temperature, 0.1, 100)
        _within("logits.share", self.share, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """`base` is a folder or the name of a model on a hub; "" is one from scratch. `steps` counts, or else `epochs`.

    `answers` is the share of steps that learn whole answers where there are codes; the others end with the code.
    Without `base`, `vary` and `guidance` apply always; with one, `vary` only if it is given.
    """

    base: str = ""
    scratch: Scratch = field(default_factory=Scratch)
    adapter: Adapter = field(default_factory=Adapter)
    steps: int = 0
    epochs: float = 3.0
    batch: int = 8
    accumulate: int = 1
    learning_rate: float = 1e-4
    warm_up: float = 0.03
    weight_decay: float = 0.01
    seed: int = 0
    precision: str = "auto"
    most_tokens: int = 1024
    checkpoint_steps: int = 200
    answers: float = 0.2
    variation: Variation | None = None
    guidance: Guidance | None = None
    logits: Logits = field(default_factory=Logits)

    def __post_init__(self) -> None:
        _one_of("precision", self.precision, PRECISIONS)
        _within("steps", self.steps, 0, 10_000_000)
        _within("epochs", self.epochs, 0.01, 1000)
        _within("batch", self.batch, 1, 4096)
        _within("accumulate", self.accumulate, 1, 4096)
        _within("learning_rate", self.learning_rate, 1e-8, 1)
        _within("warm_up", self.warm_up, 0, 0.5)
        _within("weight_decay", self.weight_decay, 0, 1)
        _within("most_tokens", self.most_tokens, 16, 1 << 20)
        _within("checkpoint_steps", self.checkpoint_steps, 1, 10_000_000)
        _within("answers", self.answers, 0.01, 1)
        self._fits()

    def _fits(self) -> None:
        if self.base:
            if self.guidance is not None:
                raise RecipeFault("guidance: is for a student from scratch: leave it out, or leave `base` out")
            return
        if self.adapter.kind != "full":
            raise RecipeFault(
                "adapter.kind: a student from scratch has no weights to adapt: take full, or name a base"
            )
        if not self.steps:
            raise RecipeFault("steps: a student from scratch needs a number of them, such as 3000")
        if self.most_tokens > self.scratch.positions:
            raise RecipeFault(f"most_tokens: must be at most scratch.positions, which is {self.scratch.positions}")

    def plain(self) -> dict[str, Any]:
        """As JSON has it; `of_plain` reads it again."""
        return dataclasses.asdict(self)

    def changed(self, **changes: Any) -> Self:
        """With other settings of its own. Raises RecipeFault."""
        return dataclasses.replace(self, **changes)


def tiny() -> Recipe:
    """The example's student: a million weights, from scratch, in minutes on one core."""
    return Recipe(
        steps=3000,
        batch=48,
        learning_rate=2e-3,
        warm_up=0.02,
        weight_decay=0.1,
        most_tokens=224,
        variation=Variation(),
        guidance=Guidance(),
    )


_Section = TypeVar("_Section")
_PARTS: Mapping[str, type[Any]] = {
    "scratch": Scratch,
    "adapter": Adapter,
    "variation": Variation,
    "guidance": Guidance,
    "logits": Logits,
}


def of_plain(value: Mapping[str, Any]) -> Recipe:
    """The recipe that JSON holds. What it leaves out is as `tiny` has it without a `base`, as usual with one.

    Raises RecipeFault.
    """
    usual = Recipe(base="-") if value.get("base") else tiny()
    given: dict[str, Any] = {each.name: getattr(usual, each.name) for each in dataclasses.fields(Recipe)}
    for name, part in _known(Recipe, value, "").items():
        if name in _PARTS and isinstance(part, Mapping):
            given[name] = _made(_PARTS[name], part, f"{name}.")
        elif name in _PARTS and (part is not None or name in ("scratch", "adapter", "logits")):
            raise RecipeFault(f"{name}: must hold settings, not {part!r}")
        else:
            given[name] = part
    return _made(Recipe, given, "")


def _made(kind: type[_Section], value: Mapping[str, Any], path: str) -> _Section:
    given: dict[str, Any] = {}
    usual = {each.name: each.type for each in dataclasses.fields(kind)}  # type: ignore[arg-type]  # one of ours
    for name, found in _known(kind, value, path).items():
        given[name] = _of_type(f"{path}{name}", found, str(usual[name]))
    return kind(**given)


def _known(kind: type[Any], value: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    known = [each.name for each in dataclasses.fields(kind)]
    for name in value:
        if name not in known:
            raise RecipeFault(f"{path}{name}: there is no such setting; there are {', '.join(known)}")
    return value


def _of_type(path: str, value: Any, wanted: str) -> Any:
    fits = {
        "str": isinstance(value, str),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
    }
    if not fits.get(wanted, True):
        names = {"str": "a text", "bool": "true or false", "int": "a whole number", "float": "a number"}
        raise RecipeFault(f"{path}: must be {names[wanted]}, not {value!r}")
    return float(value) if wanted == "float" else value


def _within(path: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise RecipeFault(f"{path}: must be from {least:g} to {most:g}, not {value:g}")


def _one_of(path: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise RecipeFault(f"{path}: must be one of {', '.join(known)}, not {value!r}")
