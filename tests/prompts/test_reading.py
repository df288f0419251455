"""Prompt files: what is read from them, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from prompts.prompt import BookedPrompt, Contract, Demonstration, Section
from prompts.reading import PromptUnusable, parse_prompt, read_prompt

WHOLE = """\
sections:
  - name: tone
    text: |
      Speak for {{ firm }}.

      Be brief.
  - {name: law, text: Never promise refunds., locked: true}
slots:
  firm: Acme
demonstrations:
  - {user: "Who are you?", assistant: "{{firm}}'s."}
contract:
  text: Answer in JSON.
  json_schema: {type: object, required: [answer]}
  matches: answer
  never_matches: refund
  most_words: 50
"""


def problems(text: str, suffix: str = ".yaml") -> list[str]:
    with pytest.raises(PromptUnusable) as caught:
        parse_prompt(text.encode(), suffix, "prepend")
    assert str(caught.value) == "; ".join(caught.value.problems)
    return list(caught.value.problems)


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".YAML"])
def test_a_file_of_parts(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"support{suffix}"
    path.write_text(WHOLE)
    assert read_prompt(path, "append") == BookedPrompt(
        sections=(
            Section(name="tone", text="Speak for {{ firm }}.\n\nBe brief."),
            Section(name="law", text="Never promise refunds.", locked=True),
        ),
        rule="append",
        demonstrations=(Demonstration("Who are you?", "{{firm}}'s."),),
        slots={"firm": "Acme"},
        contract=Contract(
            text="Answer in JSON.",
            json_schema={"type": "object", "required": ["answer"]},
            matches="answer",
            never_matches="refund",
            most_words=50,
        ),
    )


@pytest.mark.parametrize("suffix", [".md", ".txt", ""])
def test_any_other_file_is_its_text(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"support{suffix}"
    path.write_bytes(b"\xef\xbb\xbf\r\nsections: {{ none }}\r\nBe brief.\r\n\r\n")
    assert read_prompt(path, "prepend") == BookedPrompt.plain("sections: {{ none }}\nBe brief.", "prepend")


def test_line_ends_do_not_change_a_version() -> None:
    for text, suffix in (("one\ntwo\n", ".md"), (WHOLE, ".yaml")):
        windows = text.replace("\n", "\r\n").encode()
        one, other = (parse_prompt(content, suffix, "append") for content in (text.encode(), windows))
        assert one.version == other.version


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("locked: true", "lokced: true", "sections[1].lokced: is not known here. Did you mean 'locked'?"),
        ("sections:", "section:", "section: is not known here. Did you mean 'sections'?"),
        ("most_words", "zzz", "contract.zzz: is not known here. Known here: text, json_schema, matches"),
        ("locked: true", "locked: maybe", "sections[1].locked: must be true or false"),
        ("firm: Acme", "firm: 2024", "slots.firm: must be text: put it in quotes"),
        ("firm: Acme", "Firm: Acme", "slots.Firm: a slot's name is lower-case letters"),
        ("name: law, ", "", "sections[1].name: is missing"),
        ("name: law", "name: ''", "sections[1].name: must be a name"),
        ("name: law", "name: tone", "two sections have the same name"),
        ("{{ firm }}", "{{ frim }}", "sections[0].text: no slot is called 'frim'. Did you mean 'firm'?"),
        ("{{firm}}", "{{ zzz }}", "demonstrations[0].assistant: no slot is called 'zzz'. Give it a value"),
        ("in JSON", "in {{ json }}", "contract.text: no slot is called 'json'"),
        ("firm: Acme", "firm: Acme\n  more: x", "slots.more: no text has {{ more }}"),
        ("never_matches: refund", "never_matches: '('", "contract.never_matches: is no regular expression"),
        ("type: object", "type: 3", "contract.json_schema: is no JSON schema"),
        ("type: object", "const: 2024-01-01", "contract.json_schema: holds what JSON has not"),
        ("most_words: 50", "most_words: 0", "contract.most_words: must be greater than 0"),
        ("  firm: Acme", "  firm: Acme\n  firm: B", "line 10: it is not YAML: 'firm' is given twice"),
        ("slots:\n", "slots: [\n", "it is not YAML"),
        ("Never promise refunds.", '"\\ud83d\\ude00"', r"sections[1].text: \ud83d is half a character"),
        ("firm: Acme", r'firm: "\udfff"', r"slots.firm: \udfff is half a character"),
        ("  - name: tone", "  - 5\n  - name: tone", "sections[0]: must be a mapping of settings"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(old: str, new: str, told: str) -> None:
    assert WHOLE.count(old) == 1
    assert told in "\n".join(problems(WHOLE.replace(old, new)))


def test_all_that_is_wrong_is_told_at_once() -> None:
    text = "sections:\n  - {nmae: a, text: 5}\nslots: {X: y}\ncontract: {most_words: -1}\ntone: x\n"
    assert len(problems(text)) == 6
    checks = "contract: {matches: '(', never_matches: '['}"
    text = "sections: [{name: a, text: '{{ a }} {{ b }}'}]\nslots: {c: d}\n" + checks
    assert len(problems(text)) == 5


@pytest.mark.parametrize("content", [b"", b" \n\t\n", b"\xef\xbb\xbf"])
def test_a_blank_file_is_refused(content: bytes) -> None:
    for suffix in (".md", ".yaml"):
        with pytest.raises(PromptUnusable, match="it is blank"):
            parse_prompt(content, suffix, "prepend")


def test_other_encodings_and_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptUnusable, match="it is not UTF-8 text"):
        parse_prompt(b"caf\xe9", ".md", "prepend")
    assert problems("[1, 2]") == ["it must be a mapping of settings"]
    assert problems("Be brief.") == ["it must be a mapping of settings"]
    assert problems("sections: []") == ["sections: must not be empty"]
    assert problems("sections: [{name: a, text: ' '}]") == ["a prompt must say something"]
    assert problems("a: 2024-02-31") == ["it is no YAML that can be a prompt: put dates in quotes, and nest less"]
    assert "line 2: it is not YAML: write out what *a is" in problems("sections: &a []\nslots: *a")
    for tagged in ("!!map [a]", "!!bool maybe", "!!timestamp x", "!!int ''"):
        assert "it is no YAML that can be a prompt" in problems(f"sections: {tagged}")[0]
    for suffix in (".md", ".yaml"):
        assert problems("x" * 2**20 + "y", suffix) == ["it is larger than 1048576 bytes"]
    with pytest.raises(FileNotFoundError):
        read_prompt(tmp_path / "none.md", "prepend")
