from __future__ import annotations

import pytest

from contracts.ports import Query
from contracts.request import ModelRequest
from router.choice.fixed import FixedChoice, NamedChoice, default_choice

REQUEST = ModelRequest("chat/completions", {"model": "auto", "messages": [{"role": "user", "content": "Hi"}]})
QUERY = Query(request=REQUEST, body=REQUEST.raw, tenant="acme", request_id="req_1")


@pytest.mark.parametrize(
    ("first", "order"), [(None, ["a", "b", "c"]), ("b", ["b", "a", "c"]), ("not here", ["a", "b", "c"])]
)
async def test_the_fixed_choice_comes_first_and_the_others_stand_by(first: str | None, order: list[str]) -> None:
    decision = await FixedChoice(first).choose(QUERY, ["a", "b", "c"])
    assert decision.model == order[0]
    assert [candidate.model for candidate in decision.candidates] == order
    assert decision.reason


async def test_a_named_model_stands_alone() -> None:
    decision = await NamedChoice().choose(QUERY, ["a"])
    assert [candidate.model for candidate in decision.candidates] == ["a"]
    assert decision.policy == "named"


def test_versions_tell_policies_apart() -> None:
    assert (
        len({FixedChoice(None).version, FixedChoice("a").version, FixedChoice("b").version, NamedChoice.version})
        == 4
    )


def test_without_a_policy_the_candidates_stand_as_they_are() -> None:
    decision = default_choice(["a", "b"], degraded="policy")
    assert (decision.model, decision.degraded) == ("a", "policy")
    assert [candidate.model for candidate in decision.candidates] == ["a", "b"]
