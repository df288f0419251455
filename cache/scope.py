"""The keys of a request: the exact one over all that can change its answer, the hard one over all but the question.

The non-obvious decision: fields are left out of the keys by name, never chosen for them, so a field that Weir has
never heard of keeps two requests apart. Canonical JSON makes it unambiguous: keys are sorted, 1, 1.0 and true
are written differently, and text is hashed as its own bytes, without Unicode normalisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import orjson
from msgspec import Struct

from contracts.ports import CacheScope
from contracts.records import Endpoint

KEY_BYTES = 16

WITHOUT_EFFECT = frozenset(
    {
        "stream",  # how the answer travels; a replay speaks both ways
        "stream_options",
        "user",  # who asked, for the provider's abuse checks
        "safety_identifier",
        "metadata",  # labels on the provider's own records
        "store",
        "prompt_cache_key",  # which machine answers
    }
)
"""The top-level request fields that cannot change what an answer says."""


LONGEST_QUESTION = 2_000
"""Characters. What is longer is a document or a task, which only itself is equal to."""


class Question(Struct, frozen=True):
    """A request as the semantic cache sees it: `text` is compared by meaning, all else is in the `hard_key`."""

    hard_key: bytes
    text: str


def exact_key(scope: CacheScope, endpoint: Endpoint, body: Mapping[str, Any]) -> bytes:
    """`KEY_BYTES` bytes that are equal only for equal scope, endpoint and body, `WITHOUT_EFFECT` apart.

    `body` is JSON as orjson reads it, nested no deeper than `contracts.request.MAX_DEPTH`.
    """
    return _hash(scope, endpoint, _with_effect(body))


def question_of(
    scope: CacheScope, endpoint: Endpoint, body: Mapping[str, Any], versions: Sequence[str]
) -> Question | str:
    """The last user turn's text and the hard key over everything else, or why there is no such question.

    `versions` are those of what compares the texts. Of a turn in parts, the only text is the question; what stands
    beside it, such as images, is in the key.
    """
    if endpoint != "chat/completions":
        return "only chats are compared by meaning"
    *earlier, last = body["messages"]
    if last["role"] != "user":
        return "the last turn is not a user's"
    content = last.get("content")
    if isinstance(content, str):
        text, rest = content, None
    else:
        texts = [part["text"] for part in content or () if isinstance(part.get("text"), str)]
        if len(texts) != 1:
            return "the last turn holds no single text"
        text = texts[0]
        rest = [{**part, "text": None} if isinstance(part.get("text"), str) else part for part in content]
    text = text.strip()
    if not text:
        return "the question is empty"
    if len(text) > LONGEST_QUESTION:
        return f"the question is longer than {LONGEST_QUESTION} characters"
    rest_of_body = {**_with_effect(body), "messages": [*earlier, {**last, "content": rest}]}
    return Question(_hash(scope, endpoint, rest_of_body, *versions), text)


def _with_effect(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in WITHOUT_EFFECT}


def _hash(scope: CacheScope, endpoint: Endpoint, body: Mapping[str, Any], *versions: str) -> bytes:
    named = [
        scope.tenant,
        scope.route,
        scope.policy_version,
        scope.prompt_version,
        scope.corpus_version,
        scope.candidates,
        scope.locale,
        endpoint,
        versions,
        body,
    ]
    return blake2b(orjson.dumps(named, option=orjson.OPT_SORT_KEYS), digest_size=KEY_BYTES).digest()
