"""Asks one variant of a student all questions that it is measured on, as a Weir that serves it would.

The non-obvious decision: llama.cpp is asked one question at a time, and remembers nothing of the one before. With
several in hand, or a beginning that it knew from another question, it adds its numbers up in another order, and of
8-bit answers some then change. So they are the same each time, and those that a broken-off run had are as good.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from contracts.errors import UpstreamFailure, UpstreamRejected
from contracts.ports import UpstreamCall
from contracts.students import Variant
from distill.student.answering.file import Answer, AnswerFile
from distill.student.answering.memory import children_here, memory_mb
from distill.student.child import StageFailed
from distill.student.compressing.making import digest_of
from distill.student.compressing.settings import EngineSettings
from distill.student.examples import Example
from distill.student.running import Tell
from heads.signals import Signals
from router.choice.reading import LONGEST
from router.upstreams.gguf import GGUFUpstream
from router.upstreams.vllm import VLLMUpstream

REFUSED = "refused"
"""The finish of an answer that was none: the engine would not take the question."""
_NAME = "student"
_ALTERNATIVES = 2
"""Tokens whose probabilities are asked for at each place: what the margin between two needs."""
_TRIES = 3
"""Times that a question is asked while the engine fails on it; it is started again meanwhile."""
_LOOK_S = 0.1


class Answered(Struct, frozen=True, kw_only=True):
    """What a variant said, by the example's id. One that it refused, as too long, has the text "" and no signals.

    `tokens_s`: tokens of answers a second, with `concurrency` questions in hand, taken from how long each took.
    `memory_mb`: what its processes held at most, in 1,000,000 bytes; None where the system does not tell.
    """

    texts: Mapping[str, str]
    signals: Mapping[str, Signals]
    tokens_s: float
    p50_ms: float
    p95_ms: float
    memory_mb: float | None
    concurrency: int = 1


def answers_of(
    model_folder: Path,
    variant: Variant,
    examples: Sequence[Example],
    *,
    most_tokens: int,
    engines: EngineSettings,
    file: Path,
    tell: Tell,
) -> Answered:
    """Ask `variant`, whose files are in `model_folder`, each example, greedily, for `most_tokens` tokens at most.

    Each answer is in `file` as soon as it is there, and is not asked for again while the weights, the engine's
    settings and the question are the same. Raises StageFailed with advice where the engine cannot run or fails.
    """
    concurrency = 1 if variant.engine == "gguf" else engines.concurrency
    with AnswerFile(file, _of(model_folder, variant, most_tokens, engines)) as answers:
        missing = [one for one in examples if answers.get(one.id, _asked(one)) is None]
        if missing:
            known, of = len(examples) - len(missing), len(examples)
            asking = _Asking(variant, _upstream(model_folder, variant, engines), engines, most_tokens, answers)
            asyncio.run(
                asking.ask(missing, concurrency, lambda done: tell(f"asking {variant.name}", known + done, of))
            )
        found = [answer for one in examples if (answer := answers.get(one.id, _asked(one)))]
        return _measured(variant, found, concurrency, answers.memory_mb)


class _Asking:
    """One run of the engine."""

    def __init__(
        self,
        variant: Variant,
        upstream: GGUFUpstream | VLLMUpstream,
        engines: EngineSettings,
        most_tokens: int,
        answers: AnswerFile,
    ) -> None:
        self._variant = variant
        self._upstream = upstream
        self._engines = engines
        self._most_tokens = most_tokens
        self._answers = answers

    async def ask(self, examples: Sequence[Example], concurrency: int, done: Callable[[int], object]) -> None:
        """Raises StageFailed, with advice."""
        before = children_here()
        try:
            await self._upstream.start()
            await self._answer(examples[0])  # the first answer of a life is slow, and is not measured
            await self._ask_all(examples, concurrency, done)
            if (memory := memory_mb(children_here() - before)) is not None:
                self._answers.note_memory(memory)
        except UpstreamFailure as failure:
            raise StageFailed(
                f"{self._variant.name} cannot be measured: {failure.message} Mend that and run again, which goes "
                f"on where this ended; or leave {self._variant.name} out."
            ) from failure
        finally:
            await self._upstream.close()

    async def _ask_all(self, examples: Sequence[Example], concurrency: int, done: Callable[[int], object]) -> None:
        left = iter(examples)
        count = itertools.count(1)

        async def go_on() -> None:
            for example in left:
                self._answers.add(await self._answer(example))
                done(next(count))

        tasks = [asyncio.create_task(go_on()) for _ in range(concurrency)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, example: Example) -> Answer:
        """Raises UpstreamFailure where the engine fails on it again and again."""
        trial = 1
        while True:
            began = time.perf_counter()
            try:
                answer = await self._upstream.send(self._call(example))
            except UpstreamRejected as error:
                return Answer(id=example.id, asked=_asked(example), finish=REFUSED, reason=error.message)
            except UpstreamFailure:
                if trial == _TRIES:
                    raise
                trial += 1
                await self._is_up()
            else:
                return _answer_of(example, answer.data, time.perf_counter() - began)

    async def _is_up(self) -> None:
        """Wait while the engine starts again, but no longer than it may take."""
        engines = self._engines
        settings = engines.vllm if self._variant.engine == "vllm" and engines.vllm else engines.gguf
        for _ in range(int(settings.start_seconds / _LOOK_S)):
            await asyncio.sleep(_LOOK_S)
            if self._upstream.up:
                return

    def _call(self, example: Example) -> UpstreamCall:
        body: dict[str, Any] = {
            "model": _NAME,
            "messages": list(example.messages),
            "temperature": 0,
            "max_tokens": self._most_tokens,
            "logprobs": True,
            "top_logprobs": _ALTERNATIVES,
        }
        if self._variant.engine == "gguf":
            body["cache_prompt"] = False
        wait_s = self._engines.answer_seconds
        return UpstreamCall(
            endpoint="chat/completions", body=body, request_id=example.id, first_byte_s=wait_s, stall_s=wait_s
        )


def _upstream(folder: Path, variant: Variant, engines: EngineSettings) -> GGUFUpstream | VLLMUpstream:
    if variant.engine == "gguf":
        gguf = engines.gguf
        return GGUFUpstream(_NAME, folder / variant.files[0], gguf.threads, gguf.context, gguf.start_seconds)
    if engines.vllm is None:
        raise StageFailed(
            f"Only vLLM runs {variant.name}: name the Python of an environment with it as `engines.vllm.python`, "
            f"or leave {variant.name} out of `compress.variants`."
        )
    base = Path(variant.base) if Path(variant.base).is_dir() else variant.base
    return VLLMUpstream(
        _NAME,
        Path(engines.vllm.python),
        base if variant.adapter else folder,
        served=_NAME,
        adapter=folder if variant.adapter else None,
        arguments=engines.vllm.arguments,
        start_s=engines.vllm.start_seconds,
    )


def _answer_of(example: Example, data: Mapping[str, Any], seconds: float) -> Answer:
    choice = data["choices"][0]
    text = str((choice.get("message") or {}).get("content") or "")
    finish = str(choice.get("finish_reason") or "")
    logprobs = (choice.get("logprobs") or {}).get("content") or ()
    signals = Signals.of_tokens(
        logprobs, answer=text, question=example.question.strip()[:LONGEST], finish=finish or None
    )
    tokens = (data.get("usage") or {}).get("completion_tokens") or len(logprobs)
    return Answer(
        id=example.id,
        asked=_asked(example),
        text=text,
        finish=finish,
        tokens=int(tokens),
        seconds=round(seconds, 6),
        signals=signals,
    )


def _asked(example: Example) -> str:
    """A hash of the conversation."""
    return hashlib.sha256(msgspec.json.encode(example.messages, order="deterministic")).hexdigest()[:16]


def _of(folder: Path, variant: Variant, most_tokens: int, engines: EngineSettings) -> str:
    """A hash of all that the answers, and how fast they come, depend on but the questions."""
    settings = engines.gguf if variant.engine == "gguf" else (engines.vllm, engines.concurrency)
    files = [[file, digest_of(folder / file)] for file in variant.files]
    about = [files, variant.adapter, variant.base, most_tokens, repr(settings)]
    return hashlib.sha256(msgspec.json.encode(about)).hexdigest()


def _measured(variant: Variant, answers: Sequence[Answer], concurrency: int, memory: float | None) -> Answered:
    """Raises StageFailed where there is nothing to measure."""
    given = [answer for answer in answers if answer.finish != REFUSED]
    if answers and not given:
        raise StageFailed(f"{variant.name} takes none of the {len(answers):,} questions: {answers[0].reason}")
    seconds = np.array([answer.seconds for answer in given] or [0.0])
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000
    tokens, took = sum(answer.tokens for answer in given), float(seconds.sum())
    return Answered(
        texts={answer.id: answer.text for answer in answers},
        signals={answer.id: answer.signals for answer in given if answer.signals is not None},
        # Little's law: as many were in hand at a time as were asked at a time.
        tokens_s=round(tokens * concurrency / took, 1) if took else 0.0,
        p50_ms=round(float(p50), 2),
        p95_ms=round(float(p95), 2),
        memory_mb=memory,
        concurrency=concurrency,
    )
