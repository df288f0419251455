"""The error map holds every error, and says no more than it should."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts import errors as e
from router.web import errors

DOCS = Path(__file__).parents[3] / "docs/reference/errors.md"


def family(kind: type[e.WeirError] = e.WeirError) -> Iterator[type[e.WeirError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


EVERY = list(family())
LEAVES = [kind for kind in EVERY if not kind.__subclasses__()]
LIMITS = [kind for kind in EVERY if issubclass(kind, e.LimitReached)]


def limit(kind: type[e.LimitReached], **more: Any) -> e.LimitReached:
    fields = {"budget": "acme-month", "measure": "usd", "limit": "10", "left": "0.25", **more}
    return kind("Ask for more.", **fields)


@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind not in LIMITS], ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_and_an_openai_body(kind: type[e.WeirError]) -> None:
    error = kind("What to do.", param="model")
    assert 400 <= errors.status_of(error) <= 504
    body = errors.body_of(error)["error"]
    assert body == {"message": "What to do.", "type": body["type"], "param": "model", "code": kind.code}
    assert body["type"].endswith("_error")


@pytest.mark.parametrize(
    ("kind", "status", "type_"),
    [(e.LimitReached, 429, "rate_limit_error"), (e.BudgetSpent, 402, "insufficient_quota")],
)
def test_a_used_up_budget_says_which_beside_what_openai_says(
    kind: type[e.LimitReached], status: int, type_: str
) -> None:
    error = limit(kind, resets_at="2026-12-01T00:00:00Z")
    assert errors.status_of(error) == status
    assert errors.body_of(error)["error"] == {
        "message": "Ask for more.",
        "type": type_,
        "param": None,
        "code": kind.code,
        "weir": {
            "budget": "acme-month",
            "measure": "usd",
            "limit": "10",
            "left": "0.25",
            "resets_at": "2026-12-01T00:00:00Z",
        },
    }
    assert errors.body_of(limit(kind))["error"]["weir"]["resets_at"] is None


def test_the_limits_are_all_of_them() -> None:
    assert set(LIMITS) == {e.LimitReached, e.BudgetSpent}


def test_a_limit_says_when_to_come_back_or_that_nobody_should_soon() -> None:
    assert errors.headers_of(limit(e.LimitReached, retry_after_s=12.5)) == {"retry-after": "13"}
    assert errors.headers_of(limit(e.LimitReached)) == {"x-should-retry": "false"}


def test_codes_name_one_error_each() -> None:
    codes = [kind.code for kind in LEAVES]
    assert len(codes) == len(set(codes))


def test_a_missing_key_is_told_how_to_authenticate() -> None:
    assert errors.headers_of(e.KeyMissing("Send one.")) == {"www-authenticate": "Bearer"}


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.1, "2"), (60, "60")])
def test_retry_after_is_whole_seconds_rounded_up(seconds: float, header: str) -> None:
    assert errors.headers_of(e.Overloaded("Wait.", retry_after_s=seconds)) == {"retry-after": header}


def test_an_upstreams_judgement_of_the_request_keeps_its_status() -> None:
    assert errors.status_of(e.UpstreamRejected("No.", status=422)) == 422
    assert errors.status_of(e.UpstreamRejected("No.", status=418)) == 400


def test_a_fault_of_our_own_says_nothing_of_itself() -> None:
    error = RuntimeError("secret detail")
    assert errors.status_of(error) == 500
    assert "secret" not in str(errors.body_of(error))


def test_the_reference_lists_every_leaf() -> None:
    page = DOCS.read_text()
    for kind in {*LEAVES, *LIMITS}:
        status = errors.status_of(limit(kind) if issubclass(kind, e.LimitReached) else kind("x"))
        assert f"| `{kind.code}` | {status} |" in page, kind.__name__
