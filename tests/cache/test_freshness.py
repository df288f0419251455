"""What is invalidated is stale at once, whoever made it and however late it arrives."""

from __future__ import annotations

from cache.freshness import EVERYONE, EVERYTHING, Freshness


def test_a_tag_is_stale_for_what_was_made_before() -> None:
    fresh = Freshness()
    assert not fresh.is_stale("acme", ["faq"], 0)
    revision = fresh.invalidate("acme", "faq")
    assert fresh.is_stale("acme", ["faq"], 0)
    assert fresh.is_stale("acme", ["other", "faq"], revision - 1)
    assert not fresh.is_stale("acme", ["faq"], revision)


def test_others_keep_theirs() -> None:
    fresh = Freshness()
    fresh.invalidate("acme", "faq")
    assert not fresh.is_stale("globex", ["faq"], 0)
    assert not fresh.is_stale("acme", ["faqs"], 0)
    assert not fresh.is_stale("acme", [], 0)


def test_everyone_and_everything() -> None:
    fresh = Freshness()
    fresh.invalidate(EVERYONE, "model:small")
    assert fresh.is_stale("globex", ["model:small"], 0)
    assert not fresh.is_stale("globex", ["model:large"], 0)
    fresh.invalidate("globex", EVERYTHING)
    assert fresh.is_stale("globex", [], 1)
    assert not fresh.is_stale("acme", [], 1)


def test_revisions_of_others_count_and_old_ones_change_nothing() -> None:
    fresh = Freshness()
    fresh.invalidate("acme", "faq", 7)
    fresh.invalidate("acme", "faq", 3)
    assert fresh.revision == 7
    assert fresh.is_stale("acme", ["faq"], 6)
    assert not fresh.is_stale("acme", ["faq"], 7)
    assert fresh.records() == [("acme", "faq", 7)]


def test_what_is_forgotten_counts_against_all_that_is_older_of_its_owner() -> None:
    fresh = Freshness(most=2)
    for tag in ("a", "b", "c"):
        fresh.invalidate("acme", tag)
    assert fresh.is_stale("acme", ["a"], 0)
    assert fresh.is_stale("acme", [], 0)
    assert not fresh.is_stale("acme", [], 2)
    assert fresh.is_stale("acme", ["c"], 2)
    for place in range(100):
        fresh.invalidate("acme", f"t{place}")
    assert len(fresh) == 2
    assert fresh.is_stale("acme", ["a"], 100)


def test_one_owner_forgets_nothing_for_another() -> None:
    fresh = Freshness(most=2)
    fresh.invalidate("globex", "faq")
    for place in range(10):
        fresh.invalidate("acme", f"t{place}")
    assert fresh.is_stale("globex", ["faq"], 0)
    assert not fresh.is_stale("globex", ["other"], 0)
