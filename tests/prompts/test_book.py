"""Which version of a prompt is in force: of the file or promoted, for whom, and from when on."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ports import Prompts
from prompts.book import Booked, InForce, PromptBook, RoutePrompts, Standing, standing
from prompts.prompt import BookedPrompt, Section


def saying(text: str, **slots: str) -> BookedPrompt:
    return BookedPrompt(sections=(Section(name="a", text=text),), rule="prepend", slots=slots)


FILE, BETTER, RISKY = (saying(f"{word} for {{{{ firm }}}}.", firm="us") for word in ("Brief", "Better", "Risky"))
EDITED = saying("Edited.")


class PlainStore:
    """The port `PromptStore`, in memory. `broken` are versions, or "aliases", that cannot be read.

    `seconds` is what the clock of its books says.
    """

    def __init__(self, *prompts: BookedPrompt) -> None:
        self.contents = {prompt.version: prompt.content for prompt in prompts}
        self.of_name: dict[str, dict[str, str]] = {}
        self.broken: set[str] = set()
        self.moves = 0
        self.seconds = 0.0
        self.reads = 0

    def move(self, name: str, **aliases: BookedPrompt) -> None:
        self.of_name[name] = {alias: prompt.version for alias, prompt in aliases.items()}
        self.moves += 1

    def stamp(self) -> Hashable:
        return self.moves

    def aliases(self, name: str) -> Mapping[str, str]:
        self.reads += 1
        if "aliases" in self.broken:
            raise OSError("the disk is gone")
        return self.of_name.get(name, {})

    def content(self, name: str, version: str) -> bytes:
        if version in self.broken:
            raise ValueError(f"{version} is damaged")
        return self.contents[version]


@pytest.fixture
def store() -> PlainStore:
    return PlainStore(FILE, BETTER, RISKY)


def book(store: PlainStore, file: BookedPrompt = FILE, **options: object) -> PromptBook:
    booked = Booked(file=file, slots={"firm": "Acme"}, canary_share=0.25)
    prompts = {"support": booked, "other": Booked(file=EDITED)}
    return PromptBook(prompts, store, clock=lambda: store.seconds, **options)  # type: ignore[arg-type]


def text(book: PromptBook, tenant: str = "acme", lot: float = 0.9) -> str:
    prompt = book.prompt("support", tenant, lot)
    return str(prompt.apply({"messages": []}, "chat/completions")["messages"][0]["content"])


# --- the rule


@pytest.mark.parametrize(
    ("aliases", "found"),
    [
        ({}, Standing("f")),
        ({"file": "f", "production": "p"}, Standing("p")),
        ({"file": "f", "production": "p", "canary": "c", "previous": "x"}, Standing("p", "c")),
        ({"file": "f", "canary": "c"}, Standing("f", "c")),
        ({"file": "e", "production": "p"}, Standing("f", set_aside=("p",))),
        ({"file": "e", "production": "p", "canary": "c"}, Standing("f", set_aside=("p", "c"))),
        ({"file": "e", "production": "p", "canary": "p"}, Standing("f", set_aside=("p",))),
        ({"file": "e", "production": "f"}, Standing("f")),
        ({"file": "e", "production": "e"}, Standing("f")),
        ({"file": "e", "production": "e", "canary": "c"}, Standing("f", set_aside=("c",))),
        ({"production": "p"}, Standing("f", set_aside=("p",))),
    ],
)
def test_what_was_promoted_holds_while_the_file_is_the_one_it_was_promoted_over(
    aliases: dict[str, str], found: Standing
) -> None:
    assert standing("f", aliases) == found


@given(st.dictionaries(st.sampled_from(["file", "production", "canary", "previous"]), st.sampled_from("fpce")))
def test_an_edited_file_serves_itself_whatever_was_promoted(aliases: dict[str, str]) -> None:
    found = standing("f", aliases)
    if aliases.get("file") != "f":
        assert (found.production, found.canary) == ("f", "")
    else:
        assert found.set_aside == ()


# --- from when on


def test_a_promotion_and_its_end_count_from_the_next_request_on(store: PlainStore) -> None:
    kept = book(store)
    assert text(kept) == "Brief for Acme."
    store.move("support", file=FILE, production=BETTER)
    assert text(kept) == "Better for Acme."
    assert list(kept.in_force()) == [
        ("support", BETTER.version, "registry"),
        ("other", EDITED.version, "file"),
    ]
    store.move("support", file=FILE, production=FILE)
    assert text(kept) == "Brief for Acme."
    assert kept.now("support") == InForce(FILE, "file")


def test_nothing_is_read_while_nothing_moves(store: PlainStore) -> None:
    kept = book(store)
    read = store.reads
    first = kept.prompt("support", "acme", 0.9)
    assert kept.prompt("support", "globex", 0.9) is first
    assert store.reads == read
    assert kept.now("other").production is EDITED


def test_a_request_keeps_what_it_began_with(store: PlainStore) -> None:
    kept = book(store)
    begun = kept.prompt("support", "acme", 0.9)
    store.move("support", file=FILE, production=BETTER)
    assert text(kept) == "Better for Acme."
    assert begun.version == FILE.version


def test_an_edited_file_sets_what_was_promoted_aside_and_says_so_once(
    store: PlainStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.move("support", file=FILE, production=BETTER, canary=RISKY)
    edited = book(store, file=EDITED)
    assert (text(edited), text(edited, lot=0.0)) == ("Edited.", "Edited.")
    store.moves += 1
    assert text(edited) == "Edited."
    told = f"prompt support: its file was changed after {BETTER.version}, {RISKY.version} was promoted"
    assert [record.message.startswith(told) for record in caplog.records] == [True]


def test_what_cannot_be_read_leaves_in_force_what_was(store: PlainStore, caplog: pytest.LogCaptureFixture) -> None:
    kept = book(store)
    store.move("support", file=FILE, production=BETTER)
    assert text(kept) == "Better for Acme."
    store.broken = {RISKY.version}
    store.move("support", file=FILE, production=RISKY)
    for _ in range(3):
        assert text(kept) == "Better for Acme."
    store.broken = {"aliases"}
    store.move("support", file=FILE, production=FILE)
    assert text(kept) == "Better for Acme."
    told = [(record.levelno, record.message.partition(": ")[2].partition(",")[0]) for record in caplog.records]
    assert told[0] == (logging.ERROR, "cannot be read")
    assert "the disk is gone" in caplog.text
    assert len([record for record in caplog.records if "is damaged" in record.message]) == 1


def test_what_cannot_be_read_is_said_once(store: PlainStore, caplog: pytest.LogCaptureFixture) -> None:
    kept = book(store)
    for aliases in ({"production": RISKY}, {"production": FILE, "canary": RISKY}):
        caplog.clear()
        store.broken = {RISKY.version}
        store.move("support", file=FILE, **aliases)
        for _ in range(3):
            assert text(kept, lot=0.0) == "Brief for Acme."
            store.seconds += 1
        assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_canary_that_cannot_be_read_keeps_nothing_else_from_counting(store: PlainStore) -> None:
    kept = book(store)
    store.broken = {RISKY.version}
    store.move("support", file=FILE, production=BETTER, canary=RISKY)
    assert (text(kept, lot=0.0), text(book(store))) == ("Better for Acme.", "Better for Acme.")
    store.move("support", file=FILE, production=FILE, canary=RISKY)
    assert text(kept) == "Brief for Acme."
    store.broken = set()
    store.seconds += 1
    assert text(kept, lot=0.0) == "Risky for Acme."


def test_what_could_not_be_read_is_read_again_though_nothing_moves(store: PlainStore) -> None:
    kept = book(store)
    store.broken = {BETTER.version}
    store.move("support", file=FILE, production=BETTER)
    assert text(kept) == "Brief for Acme."
    store.broken = set()
    store.seconds += 1
    assert text(kept) == "Better for Acme."


def test_a_damaged_version_is_no_reason_not_to_start(store: PlainStore) -> None:
    store.broken = {BETTER.version}
    store.move("support", file=FILE, production=BETTER)
    assert text(book(store)) == "Brief for Acme."


# --- for whom


def test_tenants_have_their_own_values_before_the_prompts_and_the_files(store: PlainStore) -> None:
    kept = book(store, tenants={"globex": {"firm": "Globex", "unknown": "x"}, "acme": {}})
    assert (text(kept), text(kept, "globex"), text(kept, "new")) == (
        "Brief for Acme.",
        "Brief for Globex.",
        "Brief for Acme.",
    )
    one, other = (kept.prompt("support", tenant, 0.9) for tenant in ("acme", "globex"))
    assert one.version == other.version
    assert one.rendering != other.rendering
    plain = PromptBook({"support": Booked(file=FILE)}, store)
    assert text(plain) == "Brief for us."


def test_a_canary_is_for_its_share_of_lots(store: PlainStore) -> None:
    kept = book(store)
    store.move("support", file=FILE, production=BETTER, canary=RISKY)
    assert [text(kept, lot=lot).partition(" ")[0] for lot in (0.0, 0.2499, 0.25, 0.9)] == [
        "Risky", "Risky", "Better", "Better",
    ]  # fmt: skip
    assert ("support", RISKY.version, "canary") in list(kept.in_force())
    unshared = PromptBook({"support": Booked(file=FILE)}, store)
    assert text(unshared, lot=0.0) == "Better for us."
    assert list(unshared.in_force()) == [("support", BETTER.version, "registry")]


def test_pinned_prompts_hold_whatever_is_promoted(store: PlainStore) -> None:
    store.move("support", file=FILE, production=BETTER, canary=RISKY)
    kept = book(store, pinned={"support": EDITED})
    store.move("support", file=FILE, production=RISKY, canary=RISKY)
    assert text(kept, lot=0.0) == "Edited."


def test_a_route_has_its_prompt_and_tenants_may_have_another(store: PlainStore) -> None:
    kept = book(store)
    route: Prompts = RoutePrompts(kept, "support", {"globex": "other"})
    asked = {tenant: route.of(tenant, 0.9) for tenant in ("acme", "globex")}
    assert {tenant: prompt.version for tenant, prompt in asked.items() if prompt} == {
        "acme": FILE.version,
        "globex": EDITED.version,
    }
    bare = RoutePrompts(kept, "", {"globex": "other"})
    assert bare.of("acme", 0.9) is None
    assert bare.of("globex", 0.9) is not None
