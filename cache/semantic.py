"""Answers to questions that mean the same: retrieve, verify, and serve only within the bound that the user set.

The non-obvious decision: what the user bounds is kept by what is seen here, not by what a model promised. Every
score goes through the scope's `Evidence`, whose labels come from this traffic: from near lookups that went to a
model anyway, and from audits. A scope without labels serves nothing.

Comparing, encoding and judging fresh answers happens beside the requests, one after the other and within a bound.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

import numpy as np

from cache.acceptance import AcceptanceTerms, bin_of
from cache.comparison import same_answer, words_of
from cache.evidence import SCORERS, Evidence
from cache.exact import ExactCache
from cache.limits import SemanticLimits
from cache.questions import Questions
from cache.scope import Question, question_of
from cache.sharing.changes import Kept
from contracts.errors import EncoderUnavailable
from contracts.ports import CacheScope, CacheTerms, Encoder, Finding, Judge, SemanticRules
from contracts.records import Endpoint, StoredAnswer

_UNBOUND = CacheTerms(lookup=True, store=True)

log = logging.getLogger("weir.cache")


class Verifies(Protocol):
    """Says of stored questions how probable it is that their answers also answer a new one."""

    @property
    def version(self) -> str: ...

    def profile(self, text: str) -> Any:
        """What `judge` compares."""

    def judge(self, query: Any, stored: Sequence[Any], similarities: Sequence[float]) -> list[float]:
        """One score from 0 to 1 for each, nearest first."""


class SemanticCache:
    """A `SemanticAnswers` over the answers that `answers` holds. `judge` may be None.

    `remembered` is told of the key of each new answer, once its question can be found.

    For metrics: `near` counts lookups that found something near, `skipped` fresh answers that were not learned from
    for want of room, `labels_same`, `labels_other` and `labels_unsure` what comparisons said.
    """

    def __init__(
        self,
        answers: ExactCache,
        questions: Questions,
        encoder: Encoder,
        verifier: Verifies,
        *,
        limits: SemanticLimits | None = None,
        judge: Judge | None = None,
        seed: int | None = None,
    ) -> None:
        self.answers = answers
        self.questions = questions
        self.near = 0
        self.skipped = 0
        self.labels_same = 0
        self.labels_other = 0
        self.labels_unsure = 0
        self.encoder = encoder
        self._verifier = verifier
        self._limits = limits or SemanticLimits()
        self.judge = judge
        self._random = random.Random(seed)  # noqa: S311 - a sample, not a secret
        self._versions = (encoder.version, verifier.version)
        self._evidence: OrderedDict[tuple[str, str], Evidence] = OrderedDict()
        self.remembered: Callable[[bytes], None] = lambda _: None
        self._waiting: deque[Any] = deque()
        self._worker: asyncio.Task[None] | None = None
        answers.dropped = questions.remove

    @property
    def encoder_version(self) -> str:
        return self._versions[0]

    @property
    def version(self) -> str:
        """Of what makes the scores; evidence about others says nothing."""
        return "/".join(self._versions)

    def stats(self, rules: Callable[[str, str], SemanticRules | None]) -> list[dict[str, Any]]:
        """For each tenant or pool on each route what its evidence allows, by the `rules` of that route."""
        return [
            described(owner, route, evidence, rules(owner, route))
            for (owner, route), evidence in self._evidence.items()
        ]

    def add_question(self, kept: Kept) -> None:
        """Add to `kept` what is known of its question."""
        row = self.questions.row(kept.key)
        if row is None:
            return
        kept.hard_key, kept.text = self.questions.hard_key(row), self.questions.text(row)
        kept.vector = self.questions.vector(row).astype("<f2").tobytes()
        kept.encoder = self.encoder_version
        kept.right, kept.wrong, kept.demoted = self.questions.history(row)

    def take_question(self, kept: Kept) -> None:
        """Find the question of `kept` from now on, if its vector is of the encoder that is used here."""
        vector = np.frombuffer(kept.vector, "<f2").astype(np.float32)
        if kept.encoder != self.encoder_version or vector.size != self.encoder.dimensions:
            return
        self.questions.add(kept.hard_key, kept.key, kept.text, vector)
        self.questions.restore(kept.key, kept.right, kept.wrong, kept.demoted)

    def restore(self, owner: str, route: str, version: str, state: bytes) -> None:
        """Take over what was known of a scope, if it is about the scores that are made here."""
        if version != self.version:
            return
        try:
            self.evidence(owner, route).restore(state)
        except ValueError as error:
            log.warning("the evidence of %s on route %s cannot be read: %s", owner, route, error)

    def evidence(self, owner: str, route: str) -> Evidence:
        """The evidence of one tenant or pool on one route."""
        evidence = self._evidence.get((owner, route))
        if evidence is None:
            evidence = self._evidence[owner, route] = Evidence(self._limits.acceptance)
            while len(self._evidence) > self._limits.most_scopes:
                self._evidence.popitem(last=False)
        return evidence

    def all_evidence(self) -> Mapping[tuple[str, str], Evidence]:
        """All of it, by owner and route."""
        return self._evidence

    def events(self) -> Mapping[tuple[str, str], int]:
        """How much each scope has learned, to tell which ones have learned more since."""
        return {scope: evidence.events for scope, evidence in self._evidence.items()}

    async def recall(
        self,
        scope: CacheScope,
        endpoint: Endpoint,
        body: Mapping[str, Any],
        rules: SemanticRules,
        terms: CacheTerms,
    ) -> Finding:
        if terms.exact_only or not terms.max_wrong_hits:
            return Finding(reason="the client takes exact hits only")
        question = question_of(scope, endpoint, body, self._versions)
        if isinstance(question, str):
            return Finding(reason=question)
        asked = partial(
            Finding, owner=scope.tenant, route=scope.route, hard_key=question.hard_key, text=question.text
        )
        evidence = self.evidence(scope.tenant, scope.route)
        if not self.encoder.up:
            return asked(reason="the encoder is not available", degraded="encoder")
        if not self.questions.knows(question.hard_key):
            evidence.look(None)
            return asked(reason="nothing was asked before in this scope")
        try:
            vector = await self.encoder.encode(question.text)
        except EncoderUnavailable:
            return asked(reason="the encoder is not available", degraded="encoder")
        near = self._near(question, vector)
        if not near:
            evidence.look(None)
            return asked(reason="no question asked before is near")
        self.near += 1
        best = {scorer: max(near, key=attrgetter(scorer)) for scorer in SCORERS}
        choice = evidence.choice(_terms(rules, terms))
        evidence.look(best["verifier"].verifier, best["cosine"].cosine)
        one = best[choice.scorer]
        asked = partial(
            asked,
            near=one.key,
            similarity=round(one.similarity, 4),
            score=round(one.verifier, 6),
            best=tuple((scorer, each.key, getattr(each, scorer)) for scorer, each in best.items()),
        )
        allowed = bin_of(getattr(one, choice.scorer)) >= choice.threshold
        found = self.answers.find(one.key) if allowed else None
        if found is None:
            return asked(reason="the nearest question is not sure enough to be the same")
        evidence.serve()
        return asked(found=found, audit=self._random.random() < rules.audit_share)

    def learn(self, finding: Finding, key: bytes, fresh: StoredAnswer) -> None:
        if finding.hard_key:
            self._later(partial(self._learn, finding, key, fresh))

    def audited(self, finding: Finding, fresh: StoredAnswer) -> None:
        self._later(partial(self._audited, finding, fresh))

    def report(self, owner: str, route: str, key: bytes, score: float | None) -> bool:
        """An answer was bad, says who got it: its entry goes into quarantine, its neighbours are trusted less.

        `score` is that with which it was served to another question, None where it was an exact hit. False where
        there is no such entry.
        """
        if score is not None:
            self.evidence(owner, route).label(score, wrong=True)
        self.questions.demote_around(key, self._limits.floor)
        return self.answers.quarantine(key)

    async def idle(self) -> None:
        """Wait until everything that was to be learned is learned."""
        while self._worker is not None:
            await self._worker

    async def close(self) -> None:
        """Leave what is still to be learned."""
        self._waiting.clear()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])

    def _near(self, question: Question, vector: Any) -> list[_Near]:
        """The nearest stored questions whose answers are alive, with their scores."""
        rows = [
            (row, similarity)
            for row, similarity in self.questions.near(
                question.hard_key, vector, self._limits.nearest, self._limits.floor
            )
            if self.questions.hard_key(row) == question.hard_key
            and self.answers.body(self.questions.key(row)) is not None
        ]
        if not rows:
            return []
        similarities = [similarity for _, similarity in rows]
        profiles = [self._verifier.profile(self.questions.text(row)) for row, _ in rows]
        scores = self._verifier.judge(self._verifier.profile(question.text), profiles, similarities)
        return [
            _Near(
                self.questions.key(row),
                similarity,
                _shifted(score, self.questions.trust(row)),
                _shifted(similarity, self.questions.trust(row)),
            )
            for (row, similarity), score in zip(rows, scores, strict=True)
        ]

    def _later(self, job: Any) -> None:
        if len(self._waiting) >= self._limits.most_waiting:
            self.skipped += 1
            return
        self._waiting.append(job)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name="semantic cache")

    async def _work(self) -> None:
        try:
            while self._waiting:
                try:
                    await self._waiting.popleft()()
                except Exception:
                    log.exception("an answer could not be learned from")
        finally:
            self._worker = None

    async def _learn(self, finding: Finding, key: bytes, fresh: StoredAnswer) -> None:
        await self._compare(finding, fresh)
        try:
            vector = await self.encoder.encode(finding.text)
            if self.answers.body(key) is not None:
                self.questions.add(finding.hard_key, key, finding.text, vector)
        except EncoderUnavailable:
            self.skipped += 1
        self.remembered(key)

    async def _audited(self, finding: Finding, fresh: StoredAnswer) -> None:
        wrong = (await self._compare(finding, fresh)).get(finding.near)
        if wrong is not None:
            self.evidence(finding.owner, finding.route).audit(wrong)

    async def _compare(self, finding: Finding, fresh: StoredAnswer) -> dict[bytes, bool]:
        """Label what each scorer thought best; whether each of these answers says something else than `fresh`."""
        wrong: dict[bytes, bool] = {}
        for key in {key for _, key, _ in finding.best}:
            stored = self.answers.body(key)
            if stored is not None:
                wrong[key] = await self._differ(finding, stored, fresh.body)
                self.questions.label(key, wrong[key])
        for scorer, key, score in finding.best:
            if key in wrong:
                self.evidence(finding.owner, finding.route).label(score, wrong[key], scorer=scorer)
        return wrong

    async def _differ(self, finding: Finding, stored: bytes, fresh: bytes) -> bool:
        one, other = words_of(stored), words_of(fresh)
        same = same_answer(one, other, same_words=self._limits.same_words)
        if same is None and self.judge is not None:
            same = await self.judge.same(finding.tenant, finding.text, one, other)
        if same is None:
            self.labels_unsure += 1
        elif same:
            self.labels_same += 1
        else:
            self.labels_other += 1
        return not same


class _Near(NamedTuple):
    """A stored question near a new one: its cosine, and what each scorer makes of it."""

    key: bytes
    similarity: float
    verifier: float
    cosine: float


def described(owner: str, route: str, evidence: Evidence, rules: SemanticRules | None) -> dict[str, Any]:
    """One scope's evidence, and what `rules` make of it; None: its route no longer serves by meaning."""
    shown: dict[str, Any] = {
        "owner": owner,
        "route": route,
        "lookups": round(evidence.lookups, 1),
        "near": round(evidence.near, 1),
        "labels": round(evidence.labels, 1),
        "served": round(evidence.served, 1),
    }
    if rules is None:
        return shown
    choice = evidence.choice(_terms(rules))
    audited = evidence.audited(rules.confidence)
    return shown | {
        "max_wrong_hits": rules.max_wrong_hits,
        "scorer": choice.scorer,
        "threshold": None if choice.score is None else round(choice.score, 6),
        "would_serve": round(choice.share, 6),
        "audited": audited and dict(zip(("wrong", "at_least", "at_most"), audited, strict=True)),
    }


def _terms(rules: SemanticRules, terms: CacheTerms = _UNBOUND) -> AcceptanceTerms:
    """The route's bound, or the client's where that is stricter: the next lower power of a half.

    A threshold is dear to find and kept by its bound: clients that name any number must not have each one found.
    """
    allowed = rules.max_wrong_hits
    if terms.max_wrong_hits < allowed:
        allowed = 2.0 ** math.floor(math.log2(terms.max_wrong_hits))
    return AcceptanceTerms(
        max_wrong_hits=allowed,
        max_wrong_of_hits=rules.max_wrong_of_hits,
        confidence=rules.confidence,
    )


def _shifted(score: float, by: float) -> float:
    """`score` with its log odds moved."""
    if not by or score <= 0 or score >= 1:
        return score
    return 1 / (1 + math.exp(-(math.log(score / (1 - score)) + by)))
