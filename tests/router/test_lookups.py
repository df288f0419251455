"""What a request's `file_search` tool says, and what of the request is left for a model."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import InvalidRequest
from contracts.request import ModelRequest
from contracts.retrieval import Turn
from router.lookups import Lookup, lookup_of, turns_of, without_file_search
from router.setup import RetrievalRules
from tests.router.plain import chat, plan

TOOL: dict[str, Any] = {"type": "file_search", "vector_store_ids": ["vs_1"]}
OWN = {"type": "function", "function": {"name": "f"}}


def request(*tools: object, **more: Any) -> ModelRequest:
    return ModelRequest("chat/completions", chat("m", tools=list(tools), **more))


def lookup(*tools: object, rules: RetrievalRules | None = None) -> Lookup:
    found = lookup_of(plan("help", "m", retrieval=rules), request(*tools))
    assert found is not None
    return found


def test_nothing_is_looked_up_where_nothing_asks_for_it() -> None:
    assert lookup_of(plan("help", "m"), request()) is None
    assert lookup_of(plan("help", "m"), request(OWN)) is None
    looks = plan("help", "m", retrieval=RetrievalRules(stores=("help",)))
    assert lookup_of(looks, ModelRequest("completions", {"model": "m", "prompt": "x"})) is None


def test_a_tool_adds_to_its_route() -> None:
    rules = RetrievalRules(stores=("help",), most=7, token_budget=99, word_weight=0.5, meaning_weight=0.5)
    found = lookup(
        {
            **TOOL,
            "vector_store_ids": ["vs_1", "help", "vs_1"],
            "max_num_results": 3,
            "filters": {"type": "eq", "key": "a", "value": 1},
            "ranking_options": {
                "ranker": "none",
                "score_threshold": 0.25,
                "hybrid_search": {"embedding_weight": 1, "text_weight": 0.2},
            },
        },
        rules=rules,
    )
    assert found.stores == ("help", "vs_1")
    assert (found.most, found.rerank, found.score_threshold) == (3, False, 0.25)
    assert (found.meaning_weight, found.word_weight) == (1.0, 0.2)
    search = found.search([Turn("user", "x")], "history")
    assert (search.token_budget, search.filters) == (99, {"type": "eq", "key": "a", "value": 1})
    assert lookup({"type": "file_search"}, rules=rules).stores == ("help",)
    assert lookup(TOOL, rules=rules).word_weight == 0.5


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"vector_store_ids": None}, "vector_store_ids"),
        ({"vector_store_ids": []}, "vector_store_ids"),
        ({"vector_store_ids": "vs_1"}, "vector_store_ids"),
        ({"vector_store_ids": ["vs_1", 2]}, "vector_store_ids"),
        ({"vector_store_ids": [""]}, "vector_store_ids"),
        ({"vector_store_ids": ["x" * 257]}, "vector_store_ids"),
        ({"vector_store_ids": [f"vs_{n}" for n in range(21)]}, "vector_store_ids"),
        ({"max_num_results": 0}, "max_num_results"),
        ({"max_num_results": 51}, "max_num_results"),
        ({"max_num_results": True}, "max_num_results"),
        ({"max_num_results": 2.0}, "max_num_results"),
        ({"filters": []}, "filters"),
        ({"ranking_options": []}, "ranking_options"),
        ({"ranking_options": {"ranker": 1}}, "ranking_options.ranker"),
        ({"ranking_options": {"score_threshold": 1.1}}, "ranking_options.score_threshold"),
        ({"ranking_options": {"score_threshold": True}}, "ranking_options.score_threshold"),
        ({"ranking_options": {"threshold": 1}}, "ranking_options.threshold"),
        ({"ranking_options": {"hybrid_search": 1}}, "ranking_options.hybrid_search"),
        (
            {"ranking_options": {"hybrid_search": {"text_weight": "1"}}},
            "ranking_options.hybrid_search.text_weight",
        ),
        (
            {"ranking_options": {"hybrid_search": {"text_weight": 0, "embedding_weight": 0}}},
            "ranking_options.hybrid_search",
        ),
        ({"stores": ["vs_1"]}, "stores"),
    ],
)
def test_what_cannot_be_read_is_refused_by_the_name_of_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        lookup(OWN, {**TOOL, **changes})
    assert refused.value.param == f"tools[1].{field}"
    assert f"'tools[1].{field}' " in refused.value.message


def test_two_of_them_are_one_too_many() -> None:
    with pytest.raises(InvalidRequest) as refused:
        lookup(TOOL, OWN, TOOL)
    assert refused.value.param == "tools[2]"


def test_answers_are_good_for_requests_that_look_up_the_same() -> None:
    corpus = lookup(TOOL).corpus("acme")
    assert corpus == lookup(dict(reversed(TOOL.items()))).corpus("acme")
    others = [
        lookup({**TOOL, "vector_store_ids": ["vs_2"]}),
        lookup({**TOOL, "max_num_results": 2}),
        lookup({**TOOL, "filters": {"type": "eq", "key": "a", "value": 1}}),
        lookup({**TOOL, "filters": {"type": "eq", "key": "a", "value": True}}),
        lookup({**TOOL, "ranking_options": {"score_threshold": 0.1}}),
        *(
            lookup(TOOL, rules=RetrievalRules(**changes))
            for changes in ({"floor": 0.3}, {"nothing": "refuse"}, {"token_budget": 9}, {"rewriting": "off"})
        ),
    ]
    told = {corpus, lookup(TOOL).corpus("globex"), *(other.corpus("acme") for other in others)}
    assert len(told) == len(others) + 2


def test_a_model_gets_what_is_left() -> None:
    alone = request(TOOL, tool_choice="required", parallel_tool_calls=False)
    assert without_file_search(alone.raw).keys() == {"model", "messages"}
    beside = request(OWN, TOOL, tool_choice="required", parallel_tool_calls=False)
    assert without_file_search(beside.raw) == {**beside.raw, "tools": [OWN]}
    chosen = request(OWN, TOOL, tool_choice={"type": "file_search"})
    assert "tool_choice" not in without_file_search(chosen.raw)
    assert alone.raw["tools"] == [TOOL]


def test_it_counts_as_no_tool() -> None:
    assert not request(TOOL).uses_tools
    assert request(TOOL, OWN).uses_tools
    assert request("strange").uses_tools
    assert request(TOOL, functions=[{"name": "f"}]).uses_tools


def test_the_conversation_is_read_up_to_what_the_user_said_last() -> None:
    parts = [{"type": "text", "text": "And"}, {"type": "image_url"}, {"type": "text", "text": "kettles?"}]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Returns?"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "assistant", "content": "30 days."},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "prefilled"},
    ]
    turns = turns_of(ModelRequest("chat/completions", {"model": "m", "messages": messages}))
    assert turns == (Turn("user", "Returns?"), Turn("assistant", "30 days."), Turn("user", "And\nkettles?"))
    silent = [*messages, {"role": "user", "content": "  "}]
    assert turns_of(ModelRequest("chat/completions", {"model": "m", "messages": silent})) == ()
