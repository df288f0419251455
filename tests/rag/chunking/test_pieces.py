import pytest

from rag.chunking.pieces import sentences


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("He met Dr. Smith, i.e. the U.S. envoy. He left.", ["He met Dr. Smith, i.e. the U.S. envoy.", "He left."]),
        (
            "net sales fell. costs rose by 3.5% in 2017. why?",
            ["net sales fell.", "costs rose by 3.5% in 2017.", "why?"],
        ),
        ('"Stop!" he said. (It rained.) J. Doe ran...', ['"Stop!"', "he said.", "(It rained.)", "J. Doe ran..."]),
        ("2. Open the lid. 3. Close it.", ["2. Open the lid.", "3. Close it."]),
        ("退货很容易。三十天内可以。", ["退货很容易。", "三十天内可以。"]),
        ("See weir.example.org for more", ["See weir.example.org for more"]),
        (r"Choose it!\nThen wait.", ["Choose it!", r"\nThen wait."]),
    ],
)
def test_sentences_end_where_a_reader_would_say(text: str, found: list[str]) -> None:
    assert [text[start:end].strip() for start, end in sentences(text, 0, len(text))] == found
