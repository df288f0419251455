"""Signals from token log-probabilities, whatever an upstream sends, and the row that they make."""

from __future__ import annotations

from math import exp, inf, isfinite, log, nan
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heads.signals import GROUPS, LOWEST_LOGP, NAMES, Signals


def token(chosen: Any, *others: Any) -> dict[str, Any]:
    return {"token": "x", "logprob": chosen, "top_logprobs": [{"logprob": other} for other in others]}


def named(signals: Signals) -> dict[str, float]:
    return dict(zip(NAMES, signals.row(), strict=True))


def test_token_probabilities_are_summed_up() -> None:
    found = Signals.of_tokens([token(log(0.5), log(0.5), log(0.25)), token(log(0.8), log(0.8), log(0.2))])
    assert found.mean_logp == pytest.approx((log(0.5) + log(0.8)) / 2)
    assert found.lowest == pytest.approx(0.5)
    assert found.margin == pytest.approx((0.25 + 0.6) / 2)
    first = -0.5 * log(0.5) - 2 * 0.25 * log(0.25)  # what two listed tokens leave of 1 counts as one more
    second = -0.8 * log(0.8) - 0.2 * log(0.2)
    assert found.entropy == pytest.approx((first + second) / 2)
    assert found.answer_tokens == 2


def test_objects_are_read_as_mappings_are() -> None:
    one = SimpleNamespace(logprob=-0.5, top_logprobs=[SimpleNamespace(logprob=-0.5), SimpleNamespace(logprob=-2.0)])
    assert Signals.of_tokens([one]).margin == pytest.approx(exp(-0.5) - exp(-2.0))


@pytest.mark.parametrize("odd", [None, "?", nan, [], {}, 10**400])
def test_odd_values_are_left_out(odd: Any) -> None:
    found = Signals.of_tokens([token(odd, odd, -1.0), token(np.float32(-0.25)), {"top_logprobs": 3}, None, "x"])
    assert found.mean_logp == pytest.approx(-0.25)
    assert found.margin is None


def test_infinite_values_are_bounded() -> None:
    found = Signals.of_tokens([token(-inf, 0.0, -inf), token(0.5, inf, inf)])
    assert found.mean_logp == LOWEST_LOGP / 2
    assert found.entropy is not None and isfinite(found.entropy)
    assert found.margin is not None and 0 <= found.margin <= 1


@pytest.mark.parametrize("none", [None, []])
def test_without_tokens_nothing_is_known(none: Any) -> None:
    assert Signals.of_tokens(none) == Signals()


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["logprob", "top_logprobs"]),
            st.one_of(
                st.none(),
                st.floats(),
                st.text(max_size=3),
                st.lists(st.dictionaries(st.just("logprob"), st.floats())),
            ),
        ),
        max_size=6,
    )
)
def test_nothing_that_an_upstream_sends_raises(content: list[dict[str, Any]]) -> None:
    assert len(Signals.of_tokens(content, answer="x").row()) == len(NAMES)


def test_opinions_and_votes_are_agreements() -> None:
    known = Signals(answer="12").with_opinions("12 apples", "13").with_votes(["12", "12.0", "9"])
    assert (known.second_agrees, known.third_agrees, known.others_agree) == (1, 0, 0)
    assert known.vote_share == 0.75
    assert Signals(answer="12").with_opinions(None).second_agrees is None
    assert Signals().with_opinions("12").with_votes(["12"]) == Signals()


def test_what_is_not_known_is_nan_in_the_row() -> None:
    assert all(np.isnan(Signals().row()))
    row = named(Signals(answer="yes", second_agrees=0.5, finish="length", mean_logp=inf, characters=-4))
    assert row["second_agrees"] == 0.5 and row["cut"] == 1 and row["empty"] == 0
    assert np.isnan(row["mean_logp"]) and np.isnan(row["characters"]) and np.isnan(row["options"])
    assert row["answer_characters"] == pytest.approx(log(4))


def test_the_length_counted_by_the_upstream_goes_before_that_of_the_text() -> None:
    row = named(Signals(answer="B", characters=99, second_characters=9))
    assert row["characters"] == pytest.approx(log(100))
    assert row["length_ratio"] == pytest.approx(log(10))


def test_every_signal_belongs_to_one_group() -> None:
    assert sorted(NAMES) == sorted(name for names in GROUPS.values() for name in names)
