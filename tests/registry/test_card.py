"""Model cards: front matter that YAML reads, Markdown that shows what the card holds, whatever that is."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.card import markdown
from registry.change_log import GENESIS, Entry
from registry.store import StoredArtefact

VERSION, OTHER = "0123456789abcdef", "fedcba9876543210"
CARD = {
    "summary": "Which requests the small model answers well.",
    "licence": "Apache-2.0",
    "languages": ["en", "de"],
    "tags": ["routing"],
    "lineage": {
        "outcomes": 1200,
        "owners": ["acme"],
        "sources": [{"name": "ledger", "rows": 1100}, {"name": "shadow | calls", "rows": 100, "note": "5 %"}],
    },
    "evidence": [{"high": 0.93, "low": 0.87, "metric": "quality", "n": 400, "value": 0.9012345678}],
    "verdict": {"passed": True, "reasons": ["not worse", "cheaper"]},
    "limits": ["French was not tried."],
    "seeds": {"split": 7},
}
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=15,
)


def stored(card: dict[str, Any]) -> StoredArtefact:
    return StoredArtefact("router", "support/acme", VERSION, Path("/nowhere"), card, ("check.npz", "quality.npz"))


def change(what: str, version: str, **more: Any) -> Entry:
    at = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
    return Entry(number=1, at=at, what=what, version=version, previous=GENESIS, **{"by": "jane", **more})


def front_matter(text: str) -> Any:
    _, front, _ = re.split(r"^---$\n?", text, maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(front)


def test_the_front_matter_is_what_hugging_face_reads() -> None:
    assert front_matter(markdown(stored(CARD))) == {
        "model_name": "support/acme",
        "library_name": "weir",
        "version": VERSION,
        "license": "apache-2.0",
        "language": ["en", "de"],
        "tags": ["weir", "router", "routing"],
    }


def test_a_students_has_its_base_its_task_and_its_results() -> None:
    rows = [
        {"high": 0.95, "intent": "refund", "low": 0.88, "metric": "agreement", "n": 400, "value": 0.92},
        {"dataset": "support suite", "metric": "Quality: all", "passed": True, "value": 1e-7},
        {"metric": "note", "value": "none"},
    ]
    about = {
        "base_model": ["acme/tiny"],
        "datasets": ["acme/log"],
        "library": "transformers",
        "task": "text-generation",
    }
    card = {**about, "licence": "other", "licence_name": "acme-terms", "evidence": rows, "summary": "A student."}
    text = markdown(stored(card))
    assert front_matter(text) == {
        "model_name": "support/acme",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "version": VERSION,
        "license": "other",
        "license_name": "acme-terms",
        "base_model": ["acme/tiny"],
        "datasets": ["acme/log"],
        "tags": ["weir", "router"],
        "model-index": [
            {
                "name": "support/acme",
                "results": [
                    {
                        "task": {"type": "text-generation"},
                        "dataset": {"type": "held-out-traffic", "name": "held-out traffic"},
                        "metrics": [
                            {"type": "agreement", "value": 0.92, "name": "agreement (refund, 0.88 to 0.95, n 400)"}
                        ],
                    },
                    {
                        "task": {"type": "text-generation"},
                        "dataset": {"type": "support-suite", "name": "support suite"},
                        "metrics": [{"type": "quality-all", "value": 1e-7, "name": "Quality: all"}],
                    },
                ],
            }
        ],
    }
    assert "## More" not in text


def test_each_part_has_its_section() -> None:
    text = markdown(stored(CARD))
    sections = dict(re.findall(r"^## (.+)\n\n((?:(?!## ).*\n?)*)", text, re.MULTILINE))
    assert list(sections) == ["Where it comes from", "Evidence", "Verdict", "Limits", "More", "What became of it"]
    lineage = sections["Where it comes from"]
    assert "- outcomes: 1200\n- owners:\n  - acme\n- sources:\n" in lineage
    assert "  | name | rows | note |\n  | --- | --- | --- |\n  | ledger | 1100 |  |" in lineage
    assert "  | shadow \\| calls | 100 | 5 % |" in lineage
    assert sections["Evidence"].splitlines()[0] == "| metric | value | low | high | n |"
    assert "| quality | 0.901235 | 0.87 | 0.93 | 400 |" in sections["Evidence"]
    assert "- passed: yes\n- reasons:\n  - not worse\n  - cheaper" in sections["Verdict"]
    assert sections["Limits"].strip() == "- French was not tried."
    assert sections["More"].strip() == "- seeds:\n  - split: 7"
    assert "\n\n\n" not in text
    assert "Which requests the small model answers well." in text


def test_what_became_of_it_is_told_of_this_version_alone() -> None:
    text = markdown(
        stored({}),
        [
            change("put", VERSION),
            change("put", OTHER, by="nobody"),
            change("verdict", VERSION, evidence={"passed": False}, reason="a | b"),
            change("verdict", VERSION, evidence={"passed": True}),
            change("point", VERSION, alias="production"),
            change("point", OTHER, alias="production", before=VERSION),
            change("rollback", VERSION, alias="production", before=OTHER),
            change("drop", "", alias="production", before=VERSION),
        ],
    )
    rows = re.findall(r"^\| 2026-11-25 09:30 UTC \| (.+?) \| jane \| (.*) \|$", text, re.MULTILINE)
    assert rows == [
        ("put", ""),
        ("refused by the gate", r"a \| b"),
        ("passed the gate", ""),
        ("became production", ""),
        (f"production became {OTHER}", ""),
        ("became production again, by rollback", ""),
        ("production was dropped", ""),
    ]
    assert "nobody" not in text
    assert "Nothing is written" in markdown(stored({}), [change("put", OTHER)])


@given(
    st.dictionaries(
        st.sampled_from(
            ["summary", "licence", "languages", "tags", "lineage", "evidence", "verdict", "limits", "task", "x"]
        ),
        JSON | st.lists(st.fixed_dictionaries(dict.fromkeys(("metric", "value", "low", "high", "dataset"), PLAIN))),
    )
)
@settings(max_examples=60)
def test_any_card_can_be_shown(card: dict[str, Any]) -> None:
    text = markdown(stored(card))
    front = front_matter(text)
    assert front["version"] == VERSION
    assert front["tags"][:2] == ["weir", "router"]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u2028\u2029]", text)
    assert "\n\n\n" not in text


@given(st.text(min_size=1))
def test_texts_do_not_break_out_of_their_cell(text: str) -> None:
    shown = markdown(stored({"evidence": [{"metric": text, "value": 1}]}))
    table = [line for line in shown.splitlines() if line.startswith("| ")]
    assert len(table) == 3
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", table[2])) == 3


def test_a_deep_card_is_cut_short_not_followed() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    assert len(markdown(stored({"x": deep}))) < 3000
