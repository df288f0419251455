"""What one request has looked up in documents: its route's stores, and those that its `file_search` tool names.

The non-obvious decision: the tool is Weir's own and no model hears of it. So it works with any model, and a request
that has no other is answered from the cache as one without tools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import orjson
from msgspec import Struct

from contracts.errors import InvalidRequest
from contracts.records import DIRECT
from contracts.request import ModelRequest, is_file_search
from contracts.retrieval import Rewriting, Search, Turn
from router.grounding.contract import CONTRACT
from router.setup import Plan, RetrievalRules

_MOST_STORES = 20
_MOST_RESULTS = 50
_LONGEST_NAME = 256
_MOST_TURNS = 12
"""Of a conversation, its last ones; what was said before says nothing of the last question."""
_FIELDS = ("type", "vector_store_ids", "max_num_results", "filters", "ranking_options")
_RANKING = ("ranker", "score_threshold", "hybrid_search")
_HYBRID = ("embedding_weight", "text_weight")
_UNRANKED = "none"
"""The ranker that leaves what was found in the order it was found in."""


class Lookup(Struct, frozen=True, kw_only=True):
    """What is looked up, and how. `named`: the request itself asked for it."""

    rules: RetrievalRules
    stores: tuple[str, ...]
    most: int
    rerank: bool
    filters: Mapping[str, Any] | None = None
    score_threshold: float = 0.0
    word_weight: float | None = None
    meaning_weight: float | None = None
    named: bool = False

    def search(self, turns: Sequence[Turn], rewriting: Rewriting) -> Search:
        return Search(
            stores=self.stores,
            turns=tuple(turns),
            most=self.most,
            filters=self.filters,
            score_threshold=self.score_threshold,
            word_weight=self.word_weight,
            meaning_weight=self.meaning_weight,
            rerank=self.rerank,
            rewriting=rewriting,
            token_budget=self.rules.token_budget,
        )

    def corpus(self, tenant: str) -> str:
        """What must be equal for an answer to be good for another request. The tenant is in it: stores of the same
        name hold different documents, also where tenants share a pool of answers."""
        rules = self.rules
        said = (
            *(CONTRACT, tenant, self.stores, self.most, self.rerank, self.filters, self.score_threshold),
            *(self.word_weight, self.meaning_weight, rules.token_budget, rules.floor, rules.nothing),
            *(rules.refusal, rules.rewriting, rules.rewriter),
        )
        return blake2b(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def lookup_of(plan: Plan, request: ModelRequest) -> Lookup | None:
    """None where nothing is looked up. Raises InvalidRequest, naming the field, for a tool that cannot be read."""
    tools = request.file_searches
    rules = plan.retrieval
    if request.endpoint != "chat/completions" or not (tools or rules.stores):
        return None
    if tools and plan.students and plan.route == DIRECT:
        place = f"tools[{next(iter(tools))}]"
        raise InvalidRequest(f"'{place}': a student is shown no documents. Name another model.", param=place)
    lookup = Lookup(
        rules=rules,
        stores=rules.stores,
        most=rules.most,
        rerank=rules.rerank,
        word_weight=rules.word_weight,
        meaning_weight=rules.meaning_weight,
    )
    if len(tools) > 1:
        place = f"tools[{list(tools)[1]}]"
        raise InvalidRequest(f"'{place}': one file_search tool can name several stores.", param=place)
    for index, tool in tools.items():
        lookup = _Tool(f"tools[{index}]", tool).added_to(lookup)
    return lookup


def turns_of(request: ModelRequest) -> tuple[Turn, ...]:
    """The conversation up to what the user said last, as text; empty where that is no text."""
    turns = [
        Turn(message["role"], _text(message.get("content")))
        for message in request.messages
        if message["role"] in ("user", "assistant")
    ]
    while turns and turns[-1].role != "user":
        turns.pop()
    if not turns or not turns[-1].text.strip():
        return ()
    return tuple(turn for turn in turns if turn.text.strip())[-_MOST_TURNS:]


def without_file_search(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A request's body as a model gets it: without Weir's tool, and where that is the only one without what is said
    of tools."""
    body = dict(raw)
    others = [tool for tool in raw.get("tools") or () if not is_file_search(tool)]
    if others:
        body["tools"] = others
    choice = raw.get("tool_choice")
    if not others or is_file_search(choice):
        body.pop("tool_choice", None)
    if not others:
        body.pop("tools", None)
        body.pop("parallel_tool_calls", None)
    return body


class _Tool:
    """One `file_search` tool, read field by field. `place` is what it is called in errors."""

    def __init__(self, place: str, tool: Mapping[str, Any]) -> None:
        self._place = place
        self._tool = tool

    def added_to(self, lookup: Lookup) -> Lookup:
        """What it asks for, on top of its route's."""
        tool = self._tool
        self._known("", tool, _FIELDS)
        ranking = self._object("ranking_options", tool.get("ranking_options"), _RANKING)
        hybrid = self._object("ranking_options.hybrid_search", ranking.get("hybrid_search"), _HYBRID)
        ranker = ranking.get("ranker")
        if ranker is not None and not isinstance(ranker, str):
            raise self._wrong("ranking_options.ranker", "must be a string")
        filters = tool.get("filters")
        if filters is not None and not isinstance(filters, dict):
            raise self._wrong("filters", "must be an object")
        hybrids = "ranking_options.hybrid_search"
        meaning, words = (self._share(f"{hybrids}.{each}", hybrid.get(each)) for each in _HYBRID)
        if meaning == words == 0:
            raise self._wrong(hybrids, "must give one of its weights more than 0")
        threshold = self._share("ranking_options.score_threshold", ranking.get("score_threshold"))
        return Lookup(
            rules=lookup.rules,
            stores=self._stores(lookup.stores),
            most=self._most(lookup.most),
            rerank=lookup.rerank and ranker != _UNRANKED,
            filters=filters or None,
            score_threshold=threshold or 0.0,
            word_weight=lookup.word_weight if words is None else words,
            meaning_weight=lookup.meaning_weight if meaning is None else meaning,
            named=True,
        )

    def _stores(self, routes_own: tuple[str, ...]) -> tuple[str, ...]:
        field, ids = "vector_store_ids", self._tool.get("vector_store_ids")
        if ids is None or ids == []:
            if not routes_own:
                raise self._wrong(field, "must name at least one vector store")
            return routes_own
        if not isinstance(ids, list) or not all(isinstance(each, str) and each for each in ids):
            raise self._wrong(field, "must be an array of ids")
        if len(ids) > _MOST_STORES:
            raise self._wrong(field, f"must name at most {_MOST_STORES} vector stores")
        if any(len(each) > _LONGEST_NAME for each in ids):
            raise self._wrong(field, f"must hold ids of at most {_LONGEST_NAME} characters")
        return tuple(dict.fromkeys((*routes_own, *ids)))

    def _most(self, usual: int) -> int:
        most = self._tool.get("max_num_results")
        if most is None:
            return usual
        if type(most) is not int or not 1 <= most <= _MOST_RESULTS:
            raise self._wrong("max_num_results", f"must be a whole number from 1 to {_MOST_RESULTS}")
        return most

    def _share(self, field: str, value: object) -> float | None:
        if value is None:
            return None
        if type(value) not in (int, float) or not 0 <= value <= 1:  # type: ignore[operator]
            raise self._wrong(field, "must be a number from 0 to 1")
        return float(value)  # type: ignore[arg-type]

    def _object(self, field: str, value: object, names: Sequence[str]) -> Mapping[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._wrong(field, "must be an object")
        self._known(f"{field}.", value, names)
        return value

    def _known(self, prefix: str, value: Mapping[str, Any], names: Sequence[str]) -> None:
        for name in value:
            if name not in names:
                raise self._wrong(f"{prefix}{name}", f"is not a setting. There are: {', '.join(names)}")

    def _wrong(self, field: str, what: str) -> InvalidRequest:
        where = f"{self._place}.{field}"
        return InvalidRequest(f"'{where}' {what}.", param=where)


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "\n".join(text for part in parts if isinstance(text := part.get("text"), str))
