from __future__ import annotations

import pytest

from contracts.errors import AccessDenied, KeyMissing
from router.access import Operators, bearer


@pytest.mark.parametrize("sent", ["Bearer sk-1", "bearer sk-1", "BEARER   sk-1 "])
def test_a_bearer_key_is_read(sent: str) -> None:
    assert bearer({"authorization": sent}) == "sk-1"


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": ""}, {"authorization": "sk-1"}, {"authorization": "Bearer "}]
)
def test_anything_else_is_no_key(headers: dict[str, str]) -> None:
    with pytest.raises(KeyMissing):
        bearer(headers)


def test_the_metrics_key_opens_metrics_only() -> None:
    operators = Operators("admin", "metrics")
    operators.require_metrics({"authorization": "Bearer metrics"})
    operators.require_metrics({"authorization": "Bearer admin"})
    operators.require_admin({"authorization": "Bearer admin"})
    for require, key in [(operators.require_admin, "metrics"), (operators.require_metrics, "tenant")]:
        with pytest.raises(AccessDenied):
            require({"authorization": f"Bearer {key}"})


def test_without_a_metrics_key_only_the_admin_reads_metrics() -> None:
    with pytest.raises(AccessDenied):
        Operators("admin").require_metrics({"authorization": "Bearer None"})


def test_keys_of_any_script_are_compared_not_crashed_on() -> None:
    assert not Operators("admin").is_admin("ключ")
