"""Variables, and what is more than one."""

from __future__ import annotations

from typing import Any

import pytest

from evals.importing.templates import Untranslatable, rendered, rendered_in

VALUES: dict[str, Any] = {"name": "Ana", "order": {"id": 7, "lines": ["tea", {"sku": "x"}]}, "empty": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no variable { here }", "no variable { here }"),
        ("{{name}} and {{ name }} and {{- name -}}", "Ana and Ana and Ana"),
        ("{{ order.id }}: {{ order.lines[0] }}, {{order.lines[1].sku}}", "7: tea, x"),
        ("{{ order['id'] }}", "7"),
        ("{{ order.lines }}", '["tea",{"sku":"x"}]'),
        ("<{{ empty }}>", "<>"),
    ],
)
def test_variables_are_replaced(text: str, expected: str) -> None:
    assert rendered(text, VALUES) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\nb {{ name | upper }}", "line 2: {{ name | upper }} is more than a variable"),
        ("{% for x in order %}{{ x }}{% endfor %}", "line 1: {% for x in order %} is more"),
        ("{# aside #}", "is more than a variable"),
        ("{{ name + 1 }}", "is more than a variable"),
        ("\n\n{{ nobody }}", "line 3: nobody sets nobody"),
        ("{{ order.lines[9] }}", "nobody sets"),
        ("{{ name.first }}", "nobody sets name.first"),
    ],
)
def test_what_is_more_is_refused_with_its_line(text: str, told: str) -> None:
    with pytest.raises(Untranslatable) as failure:
        rendered(text, VALUES)
    assert told in str(failure.value)


def test_a_value_is_not_a_template_itself() -> None:
    assert rendered("{{ name }}", {"name": "{{ name }}"}) == "{{ name }}"


def test_texts_are_found_wherever_they_are() -> None:
    assert rendered_in([{"content": "{{name}}"}, 3, None], VALUES) == [{"content": "Ana"}, 3, None]
