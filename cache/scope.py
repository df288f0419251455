"""The exact key: one hash over everything that can change an answer.

The non-obvious decision: fields are left out of the key by name, never chosen for it, so a field that Weir has
never heard of keeps two requests apart. Canonical JSON makes it unambiguous: keys are sorted, 1, 1.0 and true
are written differently, and text is hashed as its own bytes, without Unicode normalisation.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import orjson

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


def exact_key(scope: CacheScope, endpoint: Endpoint, body: Mapping[str, Any]) -> bytes:
    """`KEY_BYTES` bytes that are equal only for equal scope, endpoint and body, `WITHOUT_EFFECT` apart.

    `body` is JSON as orjson reads it, nested no deeper than `contracts.request.MAX_DEPTH`.
    """
    named = [
        scope.tenant,
        scope.route,
        scope.policy_version,
        scope.prompt_version,
        scope.corpus_version,
        scope.candidates,
        endpoint,
        {name: value for name, value in body.items() if name not in WITHOUT_EFFECT},
    ]
    return blake2b(orjson.dumps(named, option=orjson.OPT_SORT_KEYS), digest_size=KEY_BYTES).digest()
