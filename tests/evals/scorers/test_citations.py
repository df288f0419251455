"""Which documents an answer cites, and whether its citations hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evals.scorers.scoring import case, lacks, scored, scorer, unhurried

RETURNS = ("1", "returns.md", "You can return a machine within 45 days. Shipping back costs $8.")
CARE = ("2", "care.md", "Tolvana Care costs $29. It must be bought within 60 days of delivery.")
EXPECTED = {"documents": ["returns.md"]}


def score(text: str, *cites: Any, documents: list[str] | None = None, **options: Any) -> tuple[float, str]:
    expected = {"documents": documents or ["returns.md"]}
    found = scored("citations", expected, text, cites=cites, **options)
    return found.value, found.why


def test_an_answer_that_cites_what_supports_it() -> None:
    assert score("Machines can be returned within 45 days [1].", RETURNS) == (1, "")
    assert score("Machines can be returned within 45 days【1】.", RETURNS) == (1, "")


def test_recall_is_of_the_documents_and_either_of_two_will_do() -> None:
    text = "Machines can be returned within 45 days [1]."
    both = ["returns.md", "care.md"]
    assert score(text, RETURNS, documents=both, of="recall") == (0.5, "does not cite care.md")
    assert score(text, RETURNS, documents=["care.md|returns.md"], of="recall") == (1, "")
    assert score(text, RETURNS, documents=both)[0] == pytest.approx(2 / 3)


def test_precision_is_of_the_citations() -> None:
    said = "Machines can be returned within 45 days [1]. It costs $31 [2]. It must be bought within 60 days [2]."
    value, why = score(said, RETURNS, CARE, of="precision")
    assert value == pytest.approx(2 / 3)
    assert why == '"It costs $31.": not found: 31 $ in what it cites'


def test_a_citation_of_another_passage_does_not_hold() -> None:
    value, why = score("Machines can be returned within 45 days [2].", RETURNS, CARE, of="precision")
    assert value == 0
    assert "in what it cites" in why


def test_a_sentence_that_joins_two_passages_is_held_against_both() -> None:
    joined = "Shipping back costs $8 and Tolvana Care $29"
    assert score(f"{joined} [1][2].", RETURNS, CARE, of="precision") == (1, "")
    assert score(f"{joined} [1, 2].", RETURNS, CARE, of="precision") == (1, "")
    assert score(f"{joined} [1].", RETURNS, CARE, of="precision")[0] == 0


def test_a_mark_that_leads_nowhere_counts_against_it_and_a_year_does_not() -> None:
    text = "Machines can be returned within 45 days [1][7]."
    assert score(text, RETURNS, of="precision") == (0.5, "[7] leads to no passage")
    assert score("Machines can be returned within 45 days [1]. [2026]", RETURNS, of="precision") == (1, "")


def test_who_claims_and_cites_nothing_gets_nothing() -> None:
    assert score("Machines can be returned within 45 days.") == (0, "does not cite returns.md; cites nothing")
    assert score("I did not find this in the documents.", of="precision") == (1, "")
    assert score("I did not find this in the documents.")[0] == 0


@unhurried
@given(st.lists(st.sampled_from(["[1]", "[2]", "[3]", "[9]", "Returns take 45 days.", "\n", "x"]), max_size=12))
def test_the_harmonic_mean_is_between_its_parts(parts: list[str]) -> None:
    text = " ".join(parts)
    both, recall, precision = (score(text, RETURNS, CARE, of=of)[0] for of in ("both", "recall", "precision"))
    assert min(recall, precision) - 1e-9 <= both <= max(recall, precision) + 1e-9


@pytest.mark.parametrize("documents", ["returns.md", [], [1], ["a.md| "]])
def test_what_it_needs(documents: Any) -> None:
    assert lacks("citations", {}) == "`expected.documents`"
    with pytest.raises(ValueError, match=r"expected\.documents: must be a list of file names"):
        scorer("citations").lacks(case({"documents": documents}))
