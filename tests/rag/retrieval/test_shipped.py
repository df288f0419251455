"""Files that ship are found in a checkout; of others the error names the place."""

from __future__ import annotations

import sys

from rag.retrieval.shipped import shipped


def test_what_ships_is_found_and_what_does_not_is_named() -> None:
    assert shipped("rag-ranking.json").is_file()
    assert str(shipped("none.json")).startswith(sys.prefix)
