"""Who may name what: a tenant's limits and its key's, each of which can only narrow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cache.refusals import phrases
from contracts.errors import UnknownModel
from contracts.ports import CacheScope
from contracts.records import DIRECT, Key
from prompts.prompt import BookedPrompt, Section
from router.setup import Access, Setup
from tests.router.plain import ACME, KEPT, PlainUpstream, plan, setup_over, whole

NAMES = ("auto", "support", "large", "small")
"""Two routes, then two models."""
Limit = frozenset[str] | None


@pytest.fixture(scope="module")
def setup() -> Setup:
    models = {name: PlainUpstream(name, whole()) for name in ("large", "small")}
    return setup_over(models, plan("support", "small", "large"), plan("auto", "large"))


def limited(setup: Setup, access: Access) -> Setup:
    return replace(setup, tenants={"acme": access})


def some(*names: str) -> Limit:
    return frozenset(names)


@pytest.mark.parametrize(
    ("tenant", "key", "allowed"),
    [
        ((None, None), (None, None), NAMES),
        ((some("support"), None), (None, None), ("support", "large", "small")),
        ((None, some("small")), (None, None), ("auto", "support", "small")),
        ((None, None), (some("auto"), None), ("auto", "large", "small")),
        ((None, None), (None, some("large")), ("auto", "support", "large")),
        ((some("support"), some()), (None, None), ("support",)),
        ((some("support"), None), (some("support", "auto"), None), ("support", "large", "small")),
        ((some("support"), None), (some("auto"), None), ("large", "small")),
        ((None, some("small")), (None, some("large", "small")), ("auto", "support", "small")),
        ((some(), some()), (None, None), ()),
        ((None, None), (some(), some()), ()),
        ((some("large"), some("auto")), (None, None), ()),
    ],
)
def test_both_the_tenant_and_the_key_must_allow_a_name(
    setup: Setup, tenant: tuple[Limit, Limit], key: tuple[Limit, Limit], allowed: tuple[str, ...]
) -> None:
    running = limited(setup, Access(routes=tenant[0], models=tenant[1]))
    holder = replace(ACME, routes=key[0], models=key[1])
    assert tuple(name for name, _ in running.names(holder)) == allowed
    for name in NAMES:
        if name in allowed:
            assert running.plan(name, holder) is running.plans[name]
        else:
            with pytest.raises(UnknownModel):
                running.plan(name, holder)


def test_a_route_may_use_models_that_its_tenant_may_not_name(setup: Setup) -> None:
    running = limited(setup, Access(routes=None, models=frozenset()))
    assert running.plan("support", ACME).candidates == ("small", "large")


def test_what_is_not_there_is_refused_like_what_is_not_allowed(setup: Setup) -> None:
    messages = []
    for running, name in [(setup, "support2"), (limited(setup, Access(routes=some(), models=None)), "support")]:
        with pytest.raises(UnknownModel) as refusal:
            running.plan(name, ACME)
        assert refusal.value.param == "model"
        messages.append(refusal.value.message.replace(name, "X"))
    assert messages[0] == messages[1]


def test_a_tenant_that_is_gone_may_name_nothing(setup: Setup) -> None:
    stranger = Key(id="globex/main", tenant="globex", hash="")
    assert setup.names(stranger) == []
    with pytest.raises(UnknownModel):
        setup.plan("auto", stranger)


def test_routes_come_before_models_each_by_name(setup: Setup) -> None:
    names = setup.names(ACME)
    assert tuple(name for name, _ in names) == NAMES
    assert [found.route == DIRECT for _, found in names] == [False, False, True, True]


def test_an_answer_is_kept_for_the_tenant_the_route_the_prompt_and_the_models() -> None:
    prompt = BookedPrompt.plain("Be brief.", "prepend").filled()
    assert plan("support", "a", "b").scope("acme", prompt) == CacheScope(
        tenant="acme",
        route="support",
        policy_version="fixed:first",
        prompt_version=prompt.version,
        corpus_version="",
        candidates=("a", "b"),
    )
    assert plan("support", "a").scope("acme", None).prompt_version == ""


def test_an_answer_dies_with_the_version_of_its_student() -> None:
    class Pupil:
        version = "v1"

    pupil = Pupil()
    served = replace(plan("support", "a"), students=(pupil,))
    before = served.scope("acme", None)
    assert before == served.scope("acme", None) != plan("support", "a").scope("acme", None)
    pupil.version = "v2"
    assert served.scope("acme", None) != before


def test_answers_under_other_values_of_a_slot_are_kept_apart() -> None:
    booked = BookedPrompt(
        sections=(Section(name="a", text="For {{ firm }}."),), rule="prepend", slots={"firm": "A"}
    )
    pooled = plan("support", "a", cache=replace(KEPT, pool="faq"))
    one, other = (booked.filled({"firm": firm}) for firm in "AB")
    assert one.version == other.version
    assert pooled.scope("acme", one) != pooled.scope("acme", other)
    assert pooled.scope("acme", one) == pooled.scope("globex", booked.filled())


def test_a_pool_takes_the_tenants_place_and_is_no_tenant() -> None:
    pooled = plan("support", "a", cache=replace(KEPT, pool="faq"))
    assert pooled.scope("acme", None) == pooled.scope("globex", None)
    assert pooled.scope("acme", None).tenant == "pool:faq"
    assert plan("support", "a").scope("acme", None) != plan("support", "a").scope("globex", None)


def test_certain_words_shorten_the_life_of_an_answer() -> None:
    shorter = ((phrases(("price", "how much")), 60.0), (phrases(("sale",)), 10.0))
    rule = replace(KEPT, shorter=shorter)
    assert rule.ttl_of(["How do I pay?"]) == KEPT.ttl_s
    assert rule.ttl_of(["Hello", "What PRICE is it?"]) == 60
    assert rule.ttl_of(["how  much is it in the sale?"]) == 10
    assert rule.ttl_of(["priceless"]) == KEPT.ttl_s
    assert replace(rule, ttl_s=5.0).ttl_of(["price"]) == 5
    filing = plan("support", "a", cache=rule).filing("acme", "a", None, ["the price"], ("faq",), 3, asked=True)
    assert (filing.ttl_s, filing.tags, filing.revision) == (60, ("route:support", "model:a", "faq"), 3)
