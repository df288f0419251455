"""The schema as such: everything is described, nothing unknown is taken, secrets are all known to the loader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from router.config.links import FILES, FOLDERS, SECRETS, STORE_FOLDERS, found
from router.config.schema import Config
from router.config.values import Section


def sections(kind: type[BaseModel] = Section) -> Iterator[type[BaseModel]]:
    for section in kind.__subclasses__():
        yield section
        yield from sections(section)


@pytest.mark.parametrize("section", list(sections()), ids=lambda section: section.__name__)
def test_every_section_and_field_is_described(section: type[BaseModel]) -> None:
    assert section.__doc__
    assert section.__doc__ != Section.__doc__
    for name, field in section.model_fields.items():
        assert field.description, f"{section.__name__}.{name}"
        assert field.description.strip().endswith((".", ")", "..."))


@pytest.mark.parametrize("section", list(sections()), ids=lambda section: section.__name__)
def test_every_section_is_frozen_and_closed(section: type[BaseModel]) -> None:
    assert section.model_config["frozen"]
    assert section.model_config["extra"] == "forbid"


def places(form: str, node: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Where the schema has a text of that form, as a pattern of `links.found`."""
    if node.get("format") == form:
        yield path
    if "$ref" in node:
        yield from places(form, schema["$defs"][node["$ref"].rpartition("/")[2]], schema, path)
    for choice in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from places(form, choice, schema, path)
    for name, value in node.get("properties", {}).items():
        yield from places(form, value, schema, f"{path}.{name}".lstrip("."))
    inner = [*node.get("patternProperties", {}).values(), node.get("additionalProperties"), node.get("items")]
    for value in inner:
        if isinstance(value, dict):
            yield from places(form, value, schema, f"{path}.*")


@pytest.mark.parametrize(
    ("form", "patterns"),
    [("reference", SECRETS), ("path", FILES), ("folder", (*FOLDERS, *STORE_FOLDERS))],
)
def test_the_loader_looks_at_every_reference_and_every_file(form: str, patterns: tuple[str, ...]) -> None:
    schema = Config.model_json_schema()
    assert set(places(form, schema, schema)) == set(patterns)


def test_a_pattern_finds_names_and_places_in_lists() -> None:
    data = {"a": {"x": {"b": [1, 2]}, "y": {"b": 3}, "z": [{"b": 4}]}}
    assert list(found(data, "a.*.b.*")) == [(("a", "x", "b", 0), 1), (("a", "x", "b", 1), 2)]
    assert list(found(data, "a.*.b")) == [(("a", "x", "b"), [1, 2]), (("a", "y", "b"), 3)]
    assert list(found(data, "a.y.b")) == [(("a", "y", "b"), 3)]
    assert list(found(None, "a.*")) == []


def test_a_configuration_cannot_be_changed() -> None:
    config = Config.model_validate({"upstreams": {}, "models": {}, "tenants": {}})
    with pytest.raises(ValidationError, match="frozen"):
        config.server = config.server
