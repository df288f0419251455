"""YAML of strangers."""

from __future__ import annotations

import pytest

from evals.importing.bounded_yaml import MOST_CHARACTERS, parsed
from evals.importing.draft import Unusable

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_data_is_read() -> None:
    assert parsed("a: &x [1, 2]\nb: *x\n", "f") == {"a": [1, 2], "b": [1, 2]}
    assert parsed("", "f") is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "aliases make more than"),
        ("&a [*a]", "nested too deeply, or in itself"),
        ("[" * 20_000, "nested too deeply"),
        ("!!python/object/apply:os.system [ls]", "not YAML"),
        ("a: [", "not YAML"),
        ("a: 2026-02-31", "not YAML"),
        ("a\x00b", "not YAML"),
        ("a" * (MOST_CHARACTERS + 1), "more than 4 MiB"),
    ],
)
def test_hostile_text_is_refused(text: str, told: str) -> None:
    with pytest.raises(Unusable) as failure:
        parsed(text, "file.yaml")
    assert str(failure.value).startswith("file.yaml: ")
    assert told in str(failure.value)
