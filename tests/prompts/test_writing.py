"""Prompts as files: that what is written can be read by a person, and reads back to the same version."""

from __future__ import annotations

from string import ascii_lowercase

from hypothesis import given
from hypothesis import strategies as st

from prompts.prompt import SLOT, BookedPrompt, Contract, Demonstration, Section
from prompts.reading import parse_prompt
from prompts.writing import write_prompt
from tests.prompts.test_reading import WHOLE


def test_a_text_is_written_as_one_and_parts_for_a_person_to_read() -> None:
    assert write_prompt(BookedPrompt.plain("Be brief.\n\n- {{ x }}", "append")) == (
        ".md",
        "Be brief.\n\n- {{ x }}\n",
    )
    suffix, text = write_prompt(parse_prompt(WHOLE.encode(), ".yaml", "append"))
    assert suffix == ".yaml"
    assert "    text: |\n" in text.replace("  text: |", "    text: |")
    assert text.index("Speak for {{ firm }}.\n\n") < text.index("slots:") < text.index("contract:")


texts = st.text(st.characters(codec="utf-8"), max_size=30) | st.text(
    st.sampled_from("a :#-|>'\"\n\t\r{}[]&*!%@`\\\u0085\u2028\ufeff\x00é"), max_size=12
)
filled = texts.filter(lambda text: not SLOT.search(text))


@st.composite
def prompts(draw: st.DrawFn) -> BookedPrompt:
    """Any that an author can have written: each slot occurs."""
    slots = draw(st.dictionaries(st.text(ascii_lowercase, min_size=1, max_size=4), texts, max_size=2))
    names = draw(
        st.lists(st.text(ascii_lowercase + "_ é", min_size=1).map(str.strip).filter(bool), unique=True, max_size=3)
    )
    used = "Say " + " ".join(f"{{{{ {name} }}}}" for name in slots)
    more = [Section(name=name, text=draw(filled), locked=draw(st.booleans())) for name in names if name != "used"]
    schema = st.none() | st.dictionaries(st.sampled_from(["title", "description"]), texts)
    return BookedPrompt(
        sections=(Section(name="used", text=used), *more),
        rule=draw(st.sampled_from(["prepend", "append", "replace", "only-if-absent"])),
        demonstrations=tuple(
            Demonstration(*pair) for pair in draw(st.lists(st.tuples(filled, filled), max_size=2))
        ),
        slots=slots,
        contract=Contract(
            text=draw(filled), json_schema=draw(schema), most_words=draw(st.none() | st.integers(1, 10**6))
        ),
    )


@given(prompts() | st.builds(BookedPrompt.plain, texts.filter(str.strip), st.just("append")))
def test_whatever_is_written_reads_back_to_the_same_version(prompt: BookedPrompt) -> None:
    suffix, text = write_prompt(prompt)
    read = parse_prompt(text.encode(), suffix, prompt.rule)
    assert read == prompt
    assert read.version == prompt.version
