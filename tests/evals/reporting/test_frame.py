"""Data in a page cannot end the element that holds it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from evals.reporting.frame import document, embedded
from tests.evals.reporting.reading import Read


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_embedded_data_is_read_back_as_it_was(value: object) -> None:
    text = embedded(value)
    assert "<" not in text
    assert json.loads(text) == value


def test_half_a_surrogate_pair_does_not_keep_a_page_from_being_written() -> None:
    assert json.loads(embedded("a\ud800b")) == "a?b"


def test_only_a_page_with_a_form_may_send_one() -> None:
    assert "form-action 'none'" in Read(document("t", [])).policy
    assert "form-action 'self'" in Read(document("t", [], form=True)).policy
