"""What an artefact is called: a hash over its files, so that the same content has the same name everywhere.

And the aliases that are of use to more than the registry, which moves them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    return version_of_chunks({name: (len(data), (data,)) for name, data in contents.items()})


def version_of_chunks(contents: Mapping[str, tuple[int, Iterable[bytes]]]) -> str:
    """The same of contents that memory need not hold: of each file its size in bytes, and its bytes in chunks.

    Raises ValueError where the chunks of one are not of that size together.
    """
    digest = blake2b(digest_size=_HASH_BYTES)
    for name in sorted(contents):
        size, chunks = contents[name]
        encoded = name.encode()
        digest.update(len(encoded).to_bytes(8))
        digest.update(encoded)
        digest.update(size.to_bytes(8))
        for chunk in chunks:
            digest.update(chunk)
            size -= len(chunk)
        if size:
            raise ValueError(f"{name} is not of the size that it was said to have")
    return digest.hexdigest()
