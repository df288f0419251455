"""The attempt policy as a table: which attempts a story of failures leads to, and how it ends."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import (
    BreakerOpen,
    ConnectionRefused,
    ConnectionReset,
    DeadlineExceeded,
    LimitReached,
    MalformedAnswer,
    RateLimited,
    ServerFault,
    SlowUpstream,
    UpstreamFailure,
    UpstreamRefusedKey,
    UpstreamRejected,
    WeirError,
)
from router.attempts import LEAST_S, Attempt, Outcome, attempts
from router.breaker import Breakers
from router.config import schema

LIMITS = schema.Attempts(
    deadline_seconds=20, attempt_seconds=8, retries=1, backoff_seconds=0.5, backoff_max_seconds=2
)
DOWN = ServerFault("down", status=500)
LIMITED = RateLimited("later", status=429)
WAIT_3 = RateLimited("later", status=429, retry_after_s=3)
WAIT_60 = RateLimited("later", status=429, retry_after_s=60)
BUSY_3 = ServerFault("busy", status=503, retry_after_s=3)
REJECTED = UpstreamRejected("bad request", status=400)
KEY = UpstreamRefusedKey("bad key", status=401)
SPENT = LimitReached("no more of a", budget="a", measure="requests", limit="1", left="0", retry_after_s=30)


class LongestPause(random.Random):
    """Draws the upper end, so that tables can name their pauses."""

    def uniform(self, a: float, b: float) -> float:
        return b


@dataclass
class Resting:
    """Breakers that rest until a given time, for the models named."""

    until: dict[str, float] = field(default_factory=dict)

    def allows(self, model: str, now: float) -> bool:
        return now >= self.until.get(model, 0.0)

    def rests_until(self, model: str, now: float) -> float:
        return max(now, self.until.get(model, 0.0))


def play(
    models: Sequence[str],
    story: Sequence[tuple[float, UpstreamFailure | LimitReached | None]],
    limits: schema.Attempts = LIMITS,
    resting: dict[str, float] | None = None,
) -> tuple[list[Attempt], WeirError | None]:
    """The attempts that `story` (how long each takes, how it fails) leads to, and the final failure, if any.

    None as a failure: there is an answer that is not good enough.
    """
    now = 100.0
    policy = attempts(
        models,
        limits,
        breakers=Resting({model: 100 + rest for model, rest in (resting or {}).items()}),
        rng=LongestPause(),
        started=100.0,
        now=now,
    )
    made: list[Attempt] = []
    try:
        attempt = next(policy)
        for took, failure in story:
            made.append(attempt)
            now += attempt.pause_s + took
            attempt = policy.send(Outcome(failure=failure, now=now))
        made.append(attempt)
    except WeirError as final:
        return made, final
    policy.close()
    return made, None


def summary(made: list[Attempt]) -> list[tuple[str, float]]:
    return [(attempt.model, attempt.pause_s) for attempt in made]


TABLE = [
    # name, models, story, attempts as (model, pause), final failure
    ("first answers", "ab", [], [("a", 0)], None),
    ("retry, then answer", "ab", [(1, DOWN)], [("a", 0), ("a", 0.5)], None),
    ("retries, then next", "ab", [(1, DOWN), (1, DOWN)], [("a", 0), ("a", 0.5), ("b", 0)], None),
    (
        "all fail: the last failure",
        "ab",
        [(1, DOWN), (1, DOWN), (1, ConnectionRefused("x")), (1, ConnectionReset("y"))],
        [("a", 0), ("a", 0.5), ("b", 0), ("b", 0.5)],
        ConnectionReset,
    ),
    ("malformed is retried", "a", [(1, MalformedAnswer("x"))], [("a", 0), ("a", 0.5)], None),
    ("slow is retried", "a", [(8, SlowUpstream("x"))], [("a", 0), ("a", 0.5)], None),
    ("rejected ends all", "ab", [(1, REJECTED)], [("a", 0)], UpstreamRejected),
    ("refused key goes on", "ab", [(1, KEY)], [("a", 0), ("b", 0)], None),
    ("refused keys end", "ab", [(1, KEY), (1, KEY)], [("a", 0), ("b", 0)], UpstreamRefusedKey),
    ("429 backs off", "ab", [(1, LIMITED)], [("a", 0), ("a", 0.5)], None),
    ("429 with Retry-After goes on", "ab", [(1, WAIT_3)], [("a", 0), ("b", 0)], None),
    ("429 with Retry-After at the last waits", "a", [(1, WAIT_3)], [("a", 0), ("a", 3.5)], None),
    ("503 with Retry-After goes on", "ab", [(1, BUSY_3)], [("a", 0), ("b", 0)], None),
    ("503 with Retry-After at the last waits", "a", [(1, BUSY_3)], [("a", 0), ("a", 3.5)], None),
    ("Retry-After beyond the deadline ends", "a", [(1, WAIT_60)], [("a", 0)], RateLimited),
    ("a pause beyond the deadline ends", "a", [(19.8, DOWN)], [("a", 0)], ServerFault),
    ("but the next model needs none", "ab", [(19.8, DOWN)], [("a", 0), ("b", 0)], None),
    ("time is up", "ab", [(19.96, DOWN)], [("a", 0)], DeadlineExceeded),
    ("a doubted answer goes on", "ab", [(1, None)], [("a", 0), ("b", 0)], None),
    ("without another try", "abc", [(1, None), (1, None)], [("a", 0), ("b", 0), ("c", 0)], None),
    ("also after a retry", "ab", [(1, DOWN), (1, None)], [("a", 0), ("a", 0.5), ("b", 0)], None),
    ("doubted, then a failure", "ab", [(1, None), (1, DOWN)], [("a", 0), ("b", 0), ("b", 0.5)], None),
    ("doubted, then only failures", "ab", [(1, None), (1, DOWN), (1, KEY)], [("a", 0), ("b", 0), ("b", 0.5)], KEY),
    ("doubted, and rejected by the next", "abc", [(1, None), (1, REJECTED)], [("a", 0), ("b", 0)], REJECTED),
    ("doubted, and no time for another", "ab", [(19.96, None)], [("a", 0)], DeadlineExceeded),
    ("a used-up budget goes on", "ab", [(0, SPENT)], [("a", 0), ("b", 0)], None),
    ("also after a failure", "ab", [(1, DOWN), (0, SPENT)], [("a", 0), ("a", 0.5), ("b", 0)], None),
    ("used up everywhere", "ab", [(0, SPENT), (0, SPENT)], [("a", 0), ("b", 0)], SPENT),
    ("used up, then a failure", "ab", [(0, SPENT), (1, KEY)], [("a", 0), ("b", 0)], KEY),
    ("time is up between retries", "ab", [(8, DOWN), (11.5, DOWN)], [("a", 0), ("a", 0.5)], DeadlineExceeded),
]


@pytest.mark.parametrize(
    ("models", "story", "expected", "final"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_policy(
    models: str,
    story: list[tuple[float, UpstreamFailure | LimitReached | None]],
    expected: list[tuple[str, float]],
    final: WeirError | type[WeirError] | None,
) -> None:
    made, failure = play(models, story)
    assert summary(made) == expected
    assert failure is final if isinstance(final, WeirError) else type(failure) is (final or type(None))


def test_backoff_doubles_up_to_its_bound() -> None:
    limits = schema.Attempts(deadline_seconds=60, retries=4, backoff_seconds=0.5, backoff_max_seconds=2)
    made, _ = play("a", [(0, DOWN)] * 4, limits)
    assert [attempt.pause_s for attempt in made] == [0, 0.5, 1, 2, 2]


def test_jitter_is_full() -> None:
    def pause(seed: int) -> float:
        policy = attempts("a", LIMITS, breakers=Resting(), rng=random.Random(seed), started=0, now=0)
        next(policy)
        return policy.send(Outcome(failure=DOWN, now=0)).pause_s

    pauses = [pause(seed) for seed in range(200)]
    assert 0 <= min(pauses) < 0.02
    assert 0.48 < max(pauses) <= 0.5


def test_the_client_learns_the_upstreams_retry_after() -> None:
    assert play("a", [(1, WAIT_60)])[1] is WAIT_60
    assert play("ab", [(1, WAIT_60), (1, WAIT_60)])[1] is WAIT_60


def test_first_byte_time_is_the_attempts_or_what_is_left() -> None:
    made, failure = play("abc", [(8, SlowUpstream("x")), (8, SlowUpstream("x")), (3.5, SlowUpstream("x"))])
    assert [attempt.first_byte_s for attempt in made] == [8, 8, 3.5]
    assert isinstance(failure, DeadlineExceeded)
    assert isinstance(failure.__cause__, SlowUpstream)


def test_time_spent_before_the_first_attempt_counts() -> None:
    policy = attempts("a", LIMITS, breakers=Resting(), rng=random.Random(0), started=0, now=15)
    assert next(policy).first_byte_s == 5
    late = attempts("a", LIMITS, breakers=Resting(), rng=random.Random(0), started=0, now=20 - LEAST_S / 2)
    with pytest.raises(DeadlineExceeded) as raised:
        next(late)
    assert raised.value.__cause__ is None


def test_resting_models_are_passed_over() -> None:
    made, _ = play("abc", [(0, KEY)], resting={"a": 50, "c": 1})
    assert summary(made) == [("b", 0)]


def test_when_all_rest_the_client_learns_when_the_first_is_back() -> None:
    made, failure = play("ab", [], resting={"a": 7, "b": 4})
    assert made == []
    assert isinstance(failure, BreakerOpen)
    assert failure.retry_after_s == pytest.approx(4)


def test_one_that_failed_says_more_than_one_that_rests() -> None:
    made, failure = play("ab", [(1, DOWN), (1, DOWN)], resting={"b": 50})
    assert summary(made) == [("a", 0), ("a", 0.5)]
    assert failure is DOWN


def test_where_only_a_doubted_answer_was_to_be_had_nothing_is_said_to_have_failed() -> None:
    for models, resting in (("a", {}), ("ab", {"b": 50.0})):
        made, failure = play(models, [(1, None)], resting=resting)
        assert summary(made) == [("a", 0)]
        assert isinstance(failure, BreakerOpen)


def test_retry_after_is_waited_for_when_all_others_rest() -> None:
    made, _ = play("ab", [(1, WAIT_3)], resting={"b": 50})
    assert summary(made) == [("a", 0), ("a", 3.5)]


def test_real_breakers_end_the_retries_of_a_model_that_has_tripped() -> None:
    breakers = Breakers(schema.Breaker(failures=2))
    limits = schema.Attempts(retries=5)
    policy = attempts("ab", limits, breakers=breakers, rng=random.Random(0), started=0, now=0)
    tried = []
    attempt = next(policy)
    with pytest.raises(ServerFault):
        while True:
            tried.append(attempt.model)
            breakers.of(attempt.model).record_failure(DOWN, 0)
            attempt = policy.send(Outcome(failure=DOWN, now=0))
    assert tried == ["a", "a", "b", "b"]


def test_real_breakers_let_a_waiting_request_back_when_its_retry_after_is_over() -> None:
    breakers = Breakers(schema.Breaker())
    policy = attempts("a", LIMITS, breakers=breakers, rng=random.Random(0), started=0, now=0)
    next(policy)
    breakers.of("a").record_failure(WAIT_3, 1)
    assert not breakers.allows("a", 1)
    assert 3 <= policy.send(Outcome(failure=WAIT_3, now=1)).pause_s <= 3.5


def test_only_one_request_probes_a_model_that_rested() -> None:
    breakers = Breakers(schema.Breaker(failures=1, rest_seconds=10))
    breakers.of("a").record_failure(DOWN, 0)
    first, second = (
        attempts("ab", LIMITS, breakers=breakers, rng=random.Random(0), started=10, now=10) for _ in range(2)
    )
    assert next(first).model == "a"
    assert next(second).model == "b"


failures = st.sampled_from(
    [DOWN, LIMITED, WAIT_3, WAIT_60, BUSY_3, KEY, ConnectionRefused("x"), MalformedAnswer("x")]
)


@given(
    st.sampled_from(["a", "ab", "abc"]),
    st.lists(st.tuples(st.floats(0, 9), failures | st.none()), min_size=40, max_size=40),
    st.integers(0, 10),
    st.dictionaries(st.sampled_from("abc"), st.floats(0, 30)),
)
def test_every_story_ends_in_time_and_in_order(
    models: str, story: list[tuple[float, UpstreamFailure | None]], retries: int, resting: dict[str, float]
) -> None:
    limits = LIMITS.model_copy(update={"retries": retries})
    made, failure = play(models, story, limits, resting)
    assert failure is not None
    assert [attempt.model for attempt in made] == sorted(attempt.model for attempt in made)
    assert all(sum(attempt.model == model for attempt in made) <= retries + 1 for model in models)
    answered = [attempt.model for attempt, (_, failed) in zip(made, story, strict=False) if failed is None]
    assert len(answered) == len(set(answered)), "a model whose answer was doubted is not asked again"
    now = 0.0
    for attempt, (took, _) in zip(made, story, strict=False):
        now += attempt.pause_s
        assert LEAST_S - 1e-6 <= attempt.first_byte_s <= 8
        assert now + attempt.first_byte_s <= 20 + 1e-6
        assert now >= resting.get(attempt.model, 0) - 1e-6
        now += took
