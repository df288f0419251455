"""What an artefact is called: a hash over its files, so that the same content has the same name everywhere.

And the aliases that are of use to more than the registry, which moves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

CARD = "card.json"
"""The file of every artefact that says what it is, as JSON."""
PROMPT_CONTENT = "prompt.json"
"""The one other file of an artefact that is a prompt."""
PRODUCTION, CANARY, PREVIOUS = "production", "canary", "previous"
"""What serves, what a share of the traffic tries, and what a rollback goes back to."""
FILE = "file"
"""Of a prompt: what the configuration's file said when something was promoted last, which holds only with it."""
_HASH_BYTES = 8


def version_of(contents: Mapping[str, bytes]) -> str:
    """The name of a content, its card included: 16 hex digits of BLAKE2b over names and bytes, by name."""
    digest = blake2b(digest_size=_HASH_BYTES)
    for name in sorted(contents):
        for part in (name.encode(), contents[name]):
            digest.update(len(part).to_bytes(8))
            digest.update(part)
    return digest.hexdigest()
