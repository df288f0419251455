"""What is learned in which order: batches of token rows, all of them made before the first step.

The non-obvious decision: nothing is drawn while training. The order of rows is a function of the recipe and the
examples, so a training that was killed goes on at its step with the very rows that it would have had.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

from distill.student.training.augment import Spoken, Varied, plain_word, with_slips
from distill.student.training.guides import Guides, Question, near_words, spoken
from distill.student.training.recipe import Recipe, RecipeFault, Variation
from distill.student.training.tiny import code_of

_POOL = 8
"""Batches that are made together and shared out by length, so that few rows are padded far."""


@dataclass(frozen=True, slots=True)
class Row:
    """`tokens`, of which the first `prompt` are only read; `guide` is the row of the vector to tell, or -1."""

    tokens: list[int]
    prompt: int
    guide: int = -1


class Rows:
    """Makes a recipe's rows of examples. `examples` are as in the order's file, `tokenizer` is transformers'."""

    def __init__(
        self, recipe: Recipe, tokenizer: Any, examples: Sequence[Mapping[str, Any]], guides: Guides | None
    ) -> None:
        self._recipe = recipe
        self._tokenizer = tokenizer
        self._examples = examples
        self._guides = guides
        self._codes = not recipe.base and recipe.scratch.codes
        self._dice = random.Random(f"rows {recipe.seed}")  # noqa: S311 - repeatable, no secret
        self._by: dict[Spoken, list[Mapping[str, Any]]] = {}
        for one in examples:
            self._by.setdefault((one["intent"], one.get("lang", "")), []).append(one)
        asked = [Question(text=_text(one), intent=one["intent"], lang=one.get("lang", "")) for one in examples]
        near = {}
        if guides is not None:
            words = (plain_word(word) for one in asked for word in one.text.split())
            near = near_words(guides.words, guides.word_vectors, words)
        self._code_numbers: dict[str, int] = (
            {
                one: int(tokenizer.convert_tokens_to_ids(code_of(one)))
                for one in {each["intent"] for each in examples}
            }
            if self._codes
            else {}
        )
        self._known: dict[str, list[int]] = {}
        self._around = self._rendered_around()
        self._varied = Varied(spoken(asked), near, recipe.variation or Variation(plain=1.0))

    def batches(self) -> list[list[Row]]:
        """All steps', each of `batch` times `accumulate` rows. Raises RecipeFault where no example fits."""
        return self._from_scratch() if not self._recipe.base else self._epochs()

    def _epochs(self) -> list[list[Row]]:
        recipe, size = self._recipe, self._recipe.batch * self._recipe.accumulate
        usable = [one for one in self._examples if self._row(one, one["messages"], whole=True) is not None]
        if not usable:
            raise self._none_fits()
        steps = recipe.steps or ceil(recipe.epochs * len(usable) / size)
        rows: list[Row] = []
        while len(rows) < steps * size:
            order = usable.copy()
            self._dice.shuffle(order)
            for one in order:
                row = self._row(
                    one, self._asked_otherwise(one) if recipe.variation else one["messages"], whole=True
                )
                rows.append(row or self._row(one, one["messages"], whole=True))  # type: ignore[arg-type] # usable
        return [rows[begin : begin + size] for begin in range(0, steps * size, size)]

    def _from_scratch(self) -> list[list[Row]]:
        recipe, found = self._recipe, []
        makers = {"answer": self._answers(), "code": self._answers(whole=not self._codes), "guide": self._guided()}
        share = recipe.guidance.share if recipe.guidance and self._guides else 0.0
        for _ in range(recipe.steps):
            dart = self._dice.random()
            kind = "guide" if dart < share else "answer" if dart < share + recipe.answers else "code"
            found.append(next(makers[kind]))
        return found

    def _answers(self, *, whole: bool = True) -> Iterator[list[Row]]:
        """Common intents more often, but not as often as they are asked: rare ones have to be told apart too."""
        keys = list(self._by)
        weights = [sqrt(sum(float(one.get("weight", 1.0)) for one in self._by[key])) for key in keys]

        def one() -> Row:
            for _ in range(100):
                key = self._dice.choices(keys, weights)[0]
                example = self._dice.choice(self._by[key])
                row = self._row(example, self._asked_otherwise(example), whole=whole)
                row = row or self._row(example, example["messages"], whole=whole)
                if row is not None:
                    return row
            raise self._none_fits()

        return self._by_length(one)

    def _guided(self) -> Iterator[list[Row]]:
        guides, chance = self._guides, (self._recipe.variation or Variation(typos=0.0)).typos
        known = {one["intent"] for one in self._examples}

        def one() -> Row:
            if guides is None:
                raise RecipeFault("guidance: no guides were given")
            at = self._dice.randrange(len(guides.texts))
            text, intent = guides.texts[at]
            text = with_slips(text, chance, self._dice) or text
            prompt = self._prompt([{"role": "user", "content": text}])[-self._recipe.most_tokens + 1 :]
            code = [self._code(intent)] if self._codes and intent in known else []
            return Row(prompt + code, len(prompt), at)

        return self._by_length(one)

    def _by_length(self, one: Any) -> Iterator[list[Row]]:
        size = self._recipe.batch * self._recipe.accumulate
        while True:
            pool = sorted((one() for _ in range(_POOL * size)), key=lambda row: len(row.tokens))
            batches = [pool[begin : begin + size] for begin in range(0, len(pool), size)]
            self._dice.shuffle(batches)
            yield from batches

    def _row(self, example: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], *, whole: bool) -> Row | None:
        """None where it is longer than `most_tokens`: a cut answer would teach to break off."""
        prompt = self._prompt(messages)
        code = [self._code(example["intent"])] if self._codes else []
        answer = self._answer(example, messages) if whole else []
        tokens = [*prompt, *code, *answer]
        return Row(tokens, len(prompt)) if len(tokens) <= self._recipe.most_tokens else None

    def _prompt(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        return self._numbers(self._rendered(messages))

    def _rendered(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """As the chat template has it. What it puts around a question is asked for once: rows are many, and
        templates slow.
        """
        if len(messages) > 1 or self._recipe.base:
            text: str = self._tokenizer.apply_chat_template(
                list(messages), add_generation_prompt=True, tokenize=False
            )
            return text
        return self._around[0] + str(messages[0].get("content") or "").strip() + self._around[1]

    def _answer(self, example: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """The answer's own tokens, and what the template ends it with."""
        if not self._recipe.base:
            said = example["answer"]
            if said not in self._known:
                self._known[said] = [*self._numbers(said), self._tokenizer.eos_token_id]
            return self._known[said]
        told = [*messages, {"role": "assistant", "content": example["answer"]}]
        before = self._rendered(messages)
        text = self._tokenizer.apply_chat_template(told, tokenize=False)
        if not text.startswith(before):
            raise RecipeFault(
                f"base: the chat template of {self._recipe.base} writes a conversation in another way once it is "
                "answered, so that the answer's tokens cannot be told from the question's: take another base"
            )
        numbers = self._numbers(text[len(before) :].rstrip("\n"))
        end = self._tokenizer.eos_token_id
        return numbers if end is None or end in numbers else [*numbers, end]

    def _rendered_around(self) -> tuple[str, str]:
        if self._recipe.base:
            return "", ""
        mark = "question"
        told = [{"role": "user", "content": mark}]
        before, _, after = self._tokenizer.apply_chat_template(
            told, add_generation_prompt=True, tokenize=False
        ).partition(mark)
        return before, after

    def _numbers(self, text: str) -> list[int]:
        fast = getattr(self._tokenizer, "backend_tokenizer", None)
        found: list[int] = (
            self._tokenizer(text, add_special_tokens=False)["input_ids"]
            if fast is None
            else fast.encode(text, add_special_tokens=False).ids
        )
        return found

    def _code(self, intent: str) -> int:
        return self._code_numbers[intent]

    def _asked_otherwise(self, example: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        key = (example["intent"], example.get("lang", ""))
        said = self._varied.variant(_text(example), key, self._dice)
        return [*example["messages"][:-1], {"role": "user", "content": said}]

    def _none_fits(self) -> RecipeFault:
        return RecipeFault(
            f"most_tokens: no example fits into {self._recipe.most_tokens} tokens with its answer: take more, or "
            "curate shorter ones"
        )


def _text(example: Mapping[str, Any]) -> str:
    return str(example["messages"][-1].get("content") or "")
