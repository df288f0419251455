"""Answers to questions that mean the same are served inside their scope, once labels show that it is safe."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from contracts.ports import CacheTerms, Filing, SemanticRules
from tests.cache.semantics import RULES, SCOPE, Scene, semantic_over, stored


class Agreeable:
    """A judge that always says the same."""

    def __init__(self, says: bool | None) -> None:
        self.says = says
        self.asked: list[tuple[str, str, str]] = []

    async def same(self, tenant: str, question: str, one: str, other: str) -> bool | None:
        self.asked.append((question, one, other))
        return self.says


async def test_it_serves_nothing_before_labels_say_that_it_may() -> None:
    scene = Scene()
    await scene.ask("how do I pay by card", "Choose card.")
    finding = await scene.ask("by card how do I pay", "Choose card.")
    assert finding.found is None
    assert "not sure enough" in finding.reason
    assert finding.similarity == pytest.approx(1, abs=0.01)
    assert (scene.cache.labels_same, scene.cache.labels_other) == (1, 0)


async def test_it_serves_once_they_do() -> None:
    scene = Scene()
    await scene.prove()
    await scene.ask("how do I pay by card", "Choose card.")
    finding = await scene.ask("by card how do I pay", "never asked")
    assert finding.found is not None
    assert finding.found.answer == stored("Choose card.")
    assert finding.found.entry_id == scene.key("how do I pay by card").hex()
    assert finding.found.writer == "acme"
    assert scene.cache.evidence("acme", "support").served >= 1


async def test_wrong_labels_close_it_again() -> None:
    scene = Scene()
    await scene.prove()
    await scene.ask("how do I pay by card", "Choose card.")
    served = 0
    for place in range(200):
        finding = await scene.find("by card how do I pay")
        if finding.found is None:
            break
        served += 1
        scene.cache.audited(finding, stored(f"something else w{place}"))
        await scene.cache.idle()
    assert 1 <= served < 60


async def test_each_scope_proves_itself() -> None:
    scene = Scene()
    await scene.prove()
    for other in (replace(SCOPE, tenant="globex"), replace(SCOPE, route="auto")):
        await scene.ask("how do I pay by card", "Choose card.", other)
        assert (await scene.find("by card how do I pay", other)).found is None
    assert len(scene.cache.all_evidence()) == 3


async def test_the_clients_own_bound_makes_it_stricter() -> None:
    scene = Scene()
    await scene.prove()
    await scene.ask("how do I pay by card", "Choose card.")

    async def found(terms: CacheTerms) -> bool:
        return (await scene.find("by card how do I pay", terms=terms)).found is not None

    assert await found(CacheTerms(lookup=True, store=True, max_wrong_hits=0.9))
    assert not await found(CacheTerms(lookup=True, store=True, max_wrong_hits=0.0001))
    assert not await found(CacheTerms(lookup=True, store=True, max_wrong_hits=0))
    assert not await found(CacheTerms(lookup=True, store=True, exact_only=True))


async def test_bounds_that_clients_name_share_their_thresholds() -> None:
    """Each number another threshold would be a millisecond for every request."""
    scene = Scene()
    await scene.prove()
    await scene.ask("how do I pay by card", "Choose card.")
    verifier = scene.cache.evidence("acme", "support").of("verifier")
    for place in range(1, 500):
        terms = CacheTerms(lookup=True, store=True, max_wrong_hits=0.05 * place / 500)
        await scene.find("by card how do I pay", terms=terms)
    assert verifier.bounds_known <= 16


async def test_a_judge_is_asked_where_words_do_not_tell() -> None:
    for says, labels in ((True, (1, 0, 0)), (False, (0, 1, 0)), (None, (0, 0, 1))):
        judge = Agreeable(says)
        scene = Scene(judge=judge)
        await scene.ask("how do I pay by card", "Choose card there")
        await scene.ask("by card how do I pay", "There is a button")
        assert judge.asked == [("by card how do I pay", "Choose card there", "There is a button")]
        assert (scene.cache.labels_same, scene.cache.labels_other, scene.cache.labels_unsure) == labels


async def test_without_a_judge_doubt_counts_as_wrong() -> None:
    scene = Scene()
    await scene.ask("how do I pay by card", "Choose card there")
    await scene.ask("by card how do I pay", "There is a button")
    scope = scene.cache.evidence("acme", "support")
    assert scene.cache.labels_unsure == 1
    assert scope.labels == 1
    assert scene.cache.questions.labels(0) == (0, 1)


async def test_without_an_encoder_it_says_so_and_finds_nothing() -> None:
    scene = Scene()
    await scene.ask("how do I pay by card", "Choose card.")
    scene.encoder.up = False
    finding = await scene.find("by card how do I pay")
    assert (finding.found, finding.degraded) == (None, "encoder")
    scene.encoder.up = True
    assert (await scene.find("by card how do I pay")).degraded == ""


async def test_a_text_that_cannot_be_encoded_later_is_still_kept_for_equal_requests() -> None:
    scene = Scene()
    finding = await scene.find("how do I pay by card")
    key = scene.key("how do I pay by card")
    scene.answers.store(key, stored("Choose card."), Filing(ttl_s=60, asked=True))
    remembered: list[bytes] = []
    scene.cache.remembered = remembered.append
    scene.encoder.up = False
    scene.cache.learn(finding, key, stored("Choose card."))
    await scene.cache.idle()
    assert scene.answers.find(key) is not None
    assert remembered == [key]
    assert len(scene.cache.questions) == 0


async def test_an_answer_that_is_gone_takes_its_question_with_it() -> None:
    scene = Scene()
    await scene.prove()
    await scene.ask("how do I pay by card", "Choose card.")
    scene.answers.drop(scene.key("how do I pay by card"))
    assert (await scene.find("by card how do I pay")).found is None
    assert scene.cache.questions.row(scene.key("how do I pay by card")) is None


async def test_what_was_invalidated_is_not_served() -> None:
    scene = Scene()
    await scene.prove()
    await scene.ask("how do I pay by card", "Choose card.")
    scene.answers.freshness.invalidate("acme", "*")
    finding = await scene.find("by card how do I pay")
    assert finding.found is None
    assert finding.near == b""


async def test_a_report_quarantines_the_entry_and_demotes_its_neighbours() -> None:
    scene = Scene()
    await scene.prove()
    await scene.ask("how do I pay by card", "Choose card.")
    await scene.ask("how do I pay by card today", "Choose card today.", seed=1)
    finding = await scene.find("by card how do I pay")
    assert finding.found is not None
    labels = scene.cache.evidence("acme", "support").labels
    assert scene.cache.report("acme", "support", finding.near, finding.score)
    assert scene.cache.evidence("acme", "support").labels == pytest.approx(labels + 1)
    assert (await scene.find("by card how do I pay")).found is None
    assert not scene.cache.report("acme", "support", bytes(16), None)


async def test_audits_are_a_share_of_what_is_served() -> None:
    scene = Scene(rules=SemanticRules(max_wrong_hits=0.05, audit_share=0.5))
    await scene.prove()
    await scene.ask("how do I pay by card", "Choose card.")
    findings = [await scene.find("by card how do I pay") for _ in range(60)]
    served = [finding for finding in findings if finding.found]
    assert len(served) > 10  # until there are too few labels for so many
    assert 0.2 < sum(finding.audit for finding in served) / len(served) < 0.8
    assert not any(finding.audit for finding in findings if not finding.found)


async def test_too_many_fresh_answers_are_not_learned_from() -> None:
    scene = Scene()
    finding = await scene.find("how do I pay by card")
    for _ in range(1_200):
        scene.cache.learn(finding, bytes(16), stored("x"))
    assert scene.cache.skipped >= 199
    await scene.cache.idle()


async def test_closing_leaves_what_is_not_learned_yet() -> None:
    scene = Scene()
    finding = await scene.find("how do I pay by card")
    scene.cache.learn(finding, bytes(16), stored("x"))
    await asyncio.sleep(0)
    await scene.cache.close()
    await scene.cache.close()


async def test_evidence_about_other_scores_is_not_taken_over() -> None:
    scene, other = Scene(), Scene()
    await scene.prove()
    state = scene.cache.evidence("acme", "support").state()
    other.cache.restore("acme", "support", "another/verifier", state)
    assert other.cache.evidence("acme", "support").labels == 0
    other.cache.restore("acme", "support", scene.cache.version, b"broken")
    assert other.cache.evidence("acme", "support").labels == 0
    other.cache.restore("acme", "support", scene.cache.version, state)
    assert other.cache.evidence("acme", "support").labels > 30


async def test_stats_tell_what_is_allowed() -> None:
    scene = Scene()
    await scene.prove()
    (shown,) = scene.cache.stats(lambda owner, route: RULES)
    assert (shown["owner"], shown["route"], shown["max_wrong_hits"]) == ("acme", "support", 0.05)
    assert 0 < shown["threshold"] <= 1
    assert 0 < shown["would_serve"] < 1
    (shown,) = scene.cache.stats(lambda owner, route: None)
    assert "threshold" not in shown


def test_its_version_names_encoder_and_verifier() -> None:
    scene = Scene()
    assert scene.cache.version == "words-1/cosine"
    assert semantic_over(scene.answers).encoder_version == "words-1"
