"""Who is calling, and how far that goes."""

from __future__ import annotations

import pytest

from contracts.errors import AccessDenied, KeyMissing, KeyRefused, NotFound
from contracts.records import Key, Role
from router.access import ADMIN, ROLES, Operators, Staff, bearer

ACME = Key(id="key_1", tenant="acme", hash="")
ADA = Key(id="staff/ada", tenant="", hash="", role="approver")
BOB = Key(id="staff/bob", tenant="acme", hash="", role="viewer")


class Ring:
    """The keys `acme`, `ada` and `bob`."""

    known = True

    def find(self, secret: str) -> Key:
        if secret != "acme":
            raise KeyRefused("unknown")
        return ACME

    def staff(self, secret: str) -> Key | None:
        return {"ada": ADA, "bob": BOB}.get(secret)


RING = Ring()
OPERATORS = Operators("admin", "metrics", RING)


def sent(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize("header", ["Bearer sk-1", "bearer sk-1", "BEARER   sk-1 "])
def test_a_bearer_key_is_read(header: str) -> None:
    assert bearer({"authorization": header}) == "sk-1"


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": ""}, {"authorization": "sk-1"}, {"authorization": "Bearer "}]
)
def test_anything_else_is_no_key(headers: dict[str, str]) -> None:
    with pytest.raises(KeyMissing):
        bearer(headers)


def test_the_metrics_key_opens_metrics_only() -> None:
    OPERATORS.require_metrics(sent("metrics"))
    OPERATORS.require_metrics(sent("admin"))
    OPERATORS.require_metrics(sent("ada"))
    for key, error in (("acme", AccessDenied), ("bob", AccessDenied), ("x", KeyRefused)):
        with pytest.raises(error):
            OPERATORS.require_metrics(sent(key))
    with pytest.raises(KeyRefused):
        OPERATORS.require(sent("metrics"), "viewer")


def test_without_a_metrics_key_none_is_one() -> None:
    with pytest.raises(AccessDenied):
        Operators("admin").require_metrics(sent("None"))


@pytest.mark.parametrize("key", ["ключ", "\udcff", ""])
def test_keys_of_any_script_are_compared_not_crashed_on(key: str) -> None:
    assert not Operators("admin").is_admin(key)


def test_the_admin_is_in_every_role() -> None:
    for role in ROLES:
        assert OPERATORS.require(sent("admin"), role) == ADMIN
        assert Operators("admin").require(sent("admin"), role) == ADMIN


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("needed", ROLES)
def test_a_role_may_do_what_those_before_it_may(role: Role, needed: Role) -> None:
    staff = Staff("x", role)
    assert staff.may(needed) is (ROLES.index(role) >= ROLES.index(needed))
    if not staff.may(needed):
        with pytest.raises(AccessDenied, match=f"'{needed}'; this key has '{role}'"):
            staff.require(needed)


def test_the_staff_of_one_tenant_comes_in_where_that_is_said() -> None:
    assert OPERATORS.require(sent("bob"), "viewer", scoped=True) == Staff("staff/bob", "viewer", "acme")
    with pytest.raises(AccessDenied, match="'acme' only"):
        OPERATORS.require(sent("bob"), "viewer")
    with pytest.raises(AccessDenied, match="'operator'"):
        OPERATORS.require(sent("bob"), "operator", scoped=True)


def test_nobody_else_comes_in() -> None:
    for key, error in (("acme", AccessDenied), ("x", KeyRefused)):
        with pytest.raises(error):
            OPERATORS.require(sent(key), "viewer", scoped=True)
    with pytest.raises(AccessDenied, match="admin key"):
        Operators("admin").require(sent("ada"), "viewer")
    with pytest.raises(KeyMissing):
        OPERATORS.require({}, "viewer")


def test_what_tenants_may_ask_for_the_staff_may_too() -> None:
    assert OPERATORS.reader(sent("acme"), RING) is ACME
    assert OPERATORS.reader(sent("bob"), RING) == Staff("staff/bob", "viewer", "acme")
    with pytest.raises(AccessDenied):
        OPERATORS.reader(sent("bob"), RING, "operator")
    with pytest.raises(KeyRefused):
        OPERATORS.reader(sent("x"), RING)


def test_another_tenant_is_not_found() -> None:
    bob, ada = Staff("bob", "viewer", "acme"), Staff("ada", "viewer")
    assert (bob.own(None), bob.own("acme"), ada.own(None), ada.own("globex")) == ("acme", "acme", None, "globex")
    assert (bob.sees("acme"), bob.sees("globex"), bob.sees(""), ada.sees("")) == (True, False, False, True)
    with pytest.raises(NotFound, match="for this key"):
        bob.own("globex")
