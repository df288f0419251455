"""The policy of a route with a student: it answers what its gate allowed and it is sure of, the others all else.

choose: can a student take this at all -> is one there -> intent -> one of those it may answer. Its answer is held
back, and review delivers it where it is good enough, else the next candidate is asked. The non-obvious decision:
intents, threshold and heads are asked of the upstream with every request, so they are always those of the weights
that answer, whatever was promoted a moment ago.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from contracts.errors import EncoderUnavailable
from contracts.ports import CheckTerms, Draft, Encoder, Query
from contracts.records import Check, Decision, Outlook, UsageEvent
from contracts.students import INSTRUCTIONS, Student
from heads.intents import Intent
from router.choice.checking import Checking
from router.choice.eligible import Ability, obstacles
from router.choice.options import candidates_of
from router.choice.reading import Reading, read
from router.upstreams.student import Serving

NO_STUDENT, NO_ENCODER = "student", "encoder"
"""What a decision says was missing."""
_FORMS = (
    *("structured_outputs", "guided_json", "guided_choice", "guided_regex", "guided_grammar"),
    *("grammar", "json_schema"),
)
_BEYOND = ("logprobs", "logit_bias", "audio", "web_search_options")
"""What a client asks for beside words. Probabilities would be those of a student's own tokens."""


_ENDLESS = "against it: it came to no end"


class Students(Protocol):
    """The upstream, as far as it concerns a choice."""

    @property
    def serving(self) -> Serving | None: ...
    @property
    def withdrawn(self) -> bool: ...


class StudentTerms(Struct, frozen=True, kw_only=True):
    """A route's settings. `student` is one of its candidates; `abilities` by model."""

    version: str
    student: str
    abilities: Mapping[str, Ability]


class _Seen(Struct, frozen=True):
    """A request, and why each model cannot answer it, or ""."""

    query: Query
    reading: Reading
    models: tuple[str, ...]
    blocked: Mapping[str, str]


class StudentChoice:
    """`upstream` is that of the student; `encoder` None: there is none."""

    def __init__(
        self, terms: StudentTerms, *, upstream: Students, encoder: Encoder | None, checking: Checking
    ) -> None:
        self.version = terms.version
        self._terms = terms
        self._upstream = upstream
        self._encoder = encoder
        self._checking = checking

    @property
    def check(self) -> CheckTerms:
        return self._checking.terms

    async def choose(self, query: Query, models: Sequence[str], *, dry: bool = False) -> Decision:
        serving, name = self._upstream.serving, self._terms.student
        seen = self._see(query, tuple(models), serving)
        if name not in models or seen.blocked[name]:
            return self._other(seen, seen.blocked.get(name) or "the student is none of the models that may answer")
        if serving is None and self._upstream.withdrawn:
            return self._other(seen, "no student is promoted")  # somebody decided that: nothing is missing
        if serving is None or serving.heads is None:
            return self._other(seen, "no student answers just now", missing=NO_STUDENT)
        if self._encoder is None or self._encoder.version != serving.student.encoder:
            why = "the encoder is not there" if self._encoder is None else "its intents need another encoder"
            return self._other(seen, why, missing=NO_ENCODER)
        try:
            vector = await self._encoder.encode(seen.reading.text)
        except EncoderUnavailable:
            return self._other(seen, "the encoder is not there", missing=NO_ENCODER)
        return self._meant(seen, serving, serving.heads.intents.classify(seen.reading.text, vector))

    async def review(self, query: Query, decision: Decision, draft: Draft) -> Decision:
        """Deliver the student's answer where it is probable enough that it is good."""
        serving = self._upstream.serving
        if serving is None or serving.heads is None or decision.policy != self._policy(serving):
            # Nothing says how sure the one must be that answered.
            reasons = ("against it: another student was put in force, or it ended, while it answered",)
            gone = Check(model=draft.model, good=0.0, needed=1.0, escalated=True, reasons=reasons)
            return replace(decision, check=gone)
        heads, needed = serving.heads, serving.student.least_good
        if draft.finish == "length" and not _cut_by_client(query, serving.student):
            cut = Check(model=draft.model, good=0.0, needed=needed, escalated=True, reasons=(_ENDLESS,))
            return replace(decision, check=cut)
        judged = await self._checking.judge(
            query,
            draft,
            heads.check,
            intent=decision.intent,
            forecast=decision.intent_probability,
            usual=serving.student.usual.get(decision.intent, ()),
        )
        check = Check(
            model=draft.model,
            good=round(judged.good, 4),
            needed=round(needed, 4),
            escalated=judged.good < needed,
            reasons=judged.reasons,
            signals=judged.signals,
        )
        return replace(decision, check=check)

    def settled(self, query: Query, event: UsageEvent) -> None:
        """Nothing is learned from it here: what a student learns is learned offline."""

    def _policy(self, serving: Serving) -> str:
        return f"{self.version}/{serving.version}"

    def _see(self, query: Query, models: tuple[str, ...], serving: Serving | None) -> _Seen:
        reading = read(query)
        wanted = _limit(query)
        blocked = obstacles(models, self._terms.abilities, reading, query.tenant, wanted, query.resting)
        name = self._terms.student
        if name in blocked:
            student = serving.student if serving is not None else None
            blocked[name] = student_obstacle(query, student) or blocked[name]
        return _Seen(query, reading, models, blocked)

    def _meant(self, seen: _Seen, serving: Serving, intent: Intent) -> Decision:
        name = self._terms.student
        if intent.name not in serving.student.intents:
            why = f"its gate did not allow the intent '{intent.name}'"
            decision = self._other(replace(seen, blocked={**seen.blocked, name: why}), why, outlook="hosted")
        else:
            decision = Decision(
                model=name,
                policy=self._policy(serving),
                reason="the student may answer this intent, and its answer is checked",
                outlook="unsure",
                candidates=candidates_of(seen.models, seen.blocked, first=name),
            )
        return replace(decision, intent=intent.name, intent_probability=round(intent.probability, 4))

    def _other(self, seen: _Seen, reason: str, *, missing: str = "", outlook: Outlook = "") -> Decision:
        """The first candidate that can take it and is not the student, which does not stand by either."""
        name = self._terms.student
        others = [model for model in seen.models if model != name]
        first = next((model for model in others if not seen.blocked[model]), next(iter(others), seen.models[0]))
        blocked = {**seen.blocked, name: seen.blocked.get(name) or reason}
        return Decision(
            model=first,
            policy="default" if missing else self.version,
            reason=reason,
            outlook=outlook,
            candidates=candidates_of(seen.models, blocked, first=first),
            degraded=missing,
        )


def student_obstacle(query: Query, student: Student | None) -> str:
    """Why a student cannot take a request, whatever it is about, or "". `student` None: none is there to ask.

    How long an answer may be is no reason: most clients allow for far more than they get. One that turns out too
    long is escalated.
    """
    request, body = query.request, query.body
    if request.endpoint != "chat/completions" or request.n != 1:
        return "the student takes chats, and gives one answer"
    form = request.raw.get("response_format")
    if (isinstance(form, dict) and form.get("type") != "text") or any(request.raw.get(field) for field in _FORMS):
        return "the student was not taught to keep to a form"
    if query.grounded:
        return "the student is shown no passages of documents"
    if any(request.raw.get(field) for field in _BEYOND):
        return "the student gives its words, and nothing else"
    # It is shown no instructions: what it was told is in its weights.
    turns = [turn for turn in body.get("messages") or () if _role(turn) not in INSTRUCTIONS]
    reading = read(replace(query, body={**body, "messages": turns}))
    if reading.tools or reading.in_tool_loop or reading.images or reading.audio:
        return "the student reads and writes text only, and calls no tools"
    if not turns or _role(turns[-1]) != "user":
        return "no user asks anything at its end"
    if student is None:
        return ""
    if student.owner not in ("", query.tenant):
        return "it was learned from another tenant's traffic"
    asked = sum(_role(turn) == "user" for turn in turns)
    if asked > student.turns or len(turns) > 2 * student.turns - 1:
        return f"the student was taught {student.turns} turn{'s' if student.turns > 1 else ''} of a conversation"
    if reading.tokens >= student.most_tokens:
        return (
            f"about {reading.tokens} tokens leave no room in the {student.most_tokens} that the student was taught"
        )
    return ""


def _cut_by_client(query: Query, student: Student) -> bool:
    """Whether an answer that was cut off got to the client's own limit, and not to the student's."""
    limit = _limit(query)
    return bool(limit) and read(query).tokens + limit <= student.most_tokens


def _limit(query: Query) -> int:
    """Tokens that the client lets an answer have; 0 where it does not say."""
    raw = query.request.raw
    return int(raw.get("max_completion_tokens") or raw.get("max_tokens") or 0)


def _role(turn: Any) -> object:
    return turn.get("role") if isinstance(turn, Mapping) else None
