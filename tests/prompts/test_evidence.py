"""Evidence is written as JSON and read back as it was, to the last digit; what is none is not taken for it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from prompts.evidence import Share, read, written
from registry.store import Registry
from tests.prompts.plain_evidence import QUALITY, plain_evidence

EVIDENCE = plain_evidence(
    "1" * 16,
    segments=(Share(segment="en", cases=40, quality=QUALITY),),
    prompt_tokens_before=100.5,
    prompt_tokens_after=150.25,
    spent=Decimal("0.123456789012"),
    summary="Better.",
)


def test_what_was_written_is_read_back() -> None:
    assert read(json.loads(json.dumps(written(EVIDENCE)))) == EVIDENCE


def test_so_it_is_from_a_verdict_in_the_registry(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.verdict("prompt", "support", "1" * 16, passed=True, by="me", reason="x", evidence=written(EVIDENCE))
    (entry,) = registry.log.entries()
    assert read(entry.evidence) == EVIDENCE


@pytest.mark.parametrize("other", [{}, {"passed": True}, None, "no", {**written(EVIDENCE), "cases": "many"}])
def test_other_evidence_is_none_of_this_kind(other: object) -> None:
    assert read(other) is None


def test_evidence_of_before_models_were_passed_over_can_be_read() -> None:
    older = {name: value for name, value in written(EVIDENCE).items() if name != "unasked"}
    assert read(older) == msgspec.structs.replace(EVIDENCE, unasked=())
