"""What the cache said, as it is written down and told."""

from __future__ import annotations

from contracts.ports import Finding, Found
from router.verdicts import exact_verdict, semantic_verdict
from tests.cache.semantics import stored


def found(writer: str) -> Found:
    return Found(answer=stored("x"), entry_id="ab" * 16, age_s=3.0, writer=writer)


def test_an_exact_hit() -> None:
    verdict = exact_verdict(found("acme"), "acme")
    assert (verdict.kind, verdict.entry_id, verdict.age_s, verdict.foreign) == ("exact", "ab" * 16, 3.0, False)
    assert verdict.saved == stored("x").cost
    assert exact_verdict(found("globex"), "acme").foreign
    assert not exact_verdict(found(""), "acme").foreign


def test_a_semantic_hit() -> None:
    verdict = semantic_verdict(Finding(found=found("acme"), similarity=0.9, score=0.99, audit=True), "acme")
    assert (verdict.kind, verdict.similarity, verdict.score, verdict.audited) == ("semantic", 0.9, 0.99, True)
    assert semantic_verdict(Finding(found=found("globex")), "acme").foreign


def test_a_miss_says_what_was_near() -> None:
    verdict = semantic_verdict(Finding(reason="not sure", similarity=0.8, score=0.4, near=b"k"), "acme")
    assert (verdict.kind, verdict.reason, verdict.similarity, verdict.score) == ("miss", "not sure", 0.8, 0.4)
    assert (verdict.entry_id, verdict.audited) == ("", False)
    assert semantic_verdict(Finding(degraded="encoder"), "acme").degraded == "encoder"
