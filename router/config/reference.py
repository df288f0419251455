"""The configuration's reference, written by the schema itself: a JSON schema for editors, a page for people.

`weir reference --write docs/reference` renews both files; a test compares them with what is made here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from router.config.schema import Config

SCHEMA_FILE = "config.schema.json"
PAGE_FILE = "config.md"

EXAMPLE = """\
# yaml-language-server: $schema=config.schema.json
upstreams:
  openai:
    kind: openai
    base_url: https://api.openai.com/v1
    api_key: ${OPENAI_API_KEY}          # secrets are named here, and kept in the environment
    stand_in: pretend                   # answers while OPENAI_API_KEY is not set
  gpu:
    kind: openai
    base_url: http://127.0.0.1:8000/v1  # a vLLM server
  pretend:
    kind: scripted

models:
  large: {upstream: openai, name: gpt-4.1}             # its price is in the built-in list
  small:
    upstream: gpu
    name: Qwen/Qwen3-4B
    price: {input: 0.02, output: 0.06}                 # dollars per million tokens

routes:
  auto:
    candidates: [small, large]                         # the first answers, the second stands by
    cache: {ttl_seconds: 86400}
    attempts: {deadline_seconds: 30, attempt_seconds: 12, retries: 2}

tenants:
  acme:
    routes: [auto]
    models: []                                         # may name no model directly
    keys:
      web: {hash: "sha256:4ea90b97ad2c8bafabbccffa0a20b4e1755612cdc2d7feaa66292f96a1da2eb5"}
"""

_INTRODUCTION = """\
# Configuration reference

Every setting of `weir.yaml`, as `weir reference --write docs/reference` writes it from the code.
[The guide](../guides/configuration.md) says how the file works; [the JSON schema](config.schema.json) lets an
editor complete it. `weir check --config FILE` checks everything, names, files and environment included.

Settings that are not listed here are refused. NAME stands for a name of your choice: 1 to 128 letters, digits or
`. _ : / -`, the first a letter or digit. `${VARIABLE}` is a reference to an environment variable. Files are
relative to the folder of the configuration.
"""

_FORMS: Mapping[str, str] = {
    "reference": "`${VARIABLE}`",
    "hash": "`sha256:` and 64 hex digits",
    "name": "name",
    "address": "URL",
    "path": "file",
    "folder": "folder",
    "date": "date",
}
_PRICES: Mapping[str, str] = {"listed_as": "listed", "gpu_hour": "by the hour"}
"""The settings that tell prices apart, which name no kind."""
_KINDS: Mapping[str, str] = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
}
_Node = Mapping[str, Any]


def json_schema() -> dict[str, Any]:
    """The JSON schema of `weir.yaml`."""
    schema = Config.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "weir.yaml", **_titleless(schema)}


def files() -> dict[str, str]:
    """The reference's files: their contents by name."""
    return {SCHEMA_FILE: json.dumps(json_schema(), indent=2) + "\n", PAGE_FILE: page()}


def write(folder: Path) -> list[Path]:
    """Write the reference into `folder` and return the paths of its files. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")
        written.append(folder / name)
    return written


def page() -> str:
    """The reference as Markdown."""
    schema = json_schema()
    sections = _told_apart(list(_sections(schema, schema, "")))
    parts = [_INTRODUCTION, f"## A complete example\n\n```yaml\n{EXAMPLE}```\n"]
    parts += [_section(schema, heading, section, sections) for heading, section in sections]
    return "\n".join(parts)


def _titleless(node: Any) -> Any:
    """`node` without the titles that pydantic makes up from names."""
    if isinstance(node, list):
        return [_titleless(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: _titleless(value) for name, value in node.items() if name != "title" or not isinstance(value, str)
    }


def _told_apart(sections: Sequence[tuple[str, str, _Node]]) -> list[tuple[str, _Node]]:
    """(heading, section) of each, with the kind of what it is in where another one is called the same."""
    headings = [heading for heading, _, _ in sections]
    return [
        (f"{heading}, of kind {kind}" if headings.count(heading) > 1 else heading, section)
        for heading, kind, section in sections
    ]


def _sections(schema: _Node, section: _Node, path: str, within: str = "") -> Iterator[tuple[str, str, _Node]]:
    """(heading, kind of what it is in, section) of `section` and all that it leads to, in the order of the file."""
    yield _heading(section, path), within, section
    kind = section["properties"].get("kind", {}).get("const", "")
    for name, node in section["properties"].items():
        below = f"{path}.{name}" if path else name
        for steps, target in _targets(node):
            yield from _sections(schema, _resolved(schema, target), below + steps, kind)


def _targets(node: _Node, steps: str = "") -> Iterator[tuple[str, str]]:
    """The sections that a setting may hold, each with the steps that lead there."""
    if "$ref" in node:
        yield steps, node["$ref"]
    for choice in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from _targets(choice, steps)
    for _, value in _by_name(node):
        yield from _targets(value, f"{steps}.NAME")


def _by_name(node: _Node) -> Iterator[tuple[str, _Node]]:
    """(pattern, value) of the entries that a mapping may hold under free names."""
    yield from node.get("patternProperties", {}).items()
    if isinstance(node.get("additionalProperties"), dict):
        yield "", node["additionalProperties"]


def _resolved(schema: _Node, reference: str) -> _Node:
    found: _Node = schema["$defs"][reference.removeprefix("#/$defs/")]
    return found


def _heading(section: _Node, path: str) -> str:
    if not path:
        return "The file"
    kind = section["properties"].get("kind", {}).get("const")
    if kind:
        return f"{path}, kind {kind}"
    for setting, kind in _PRICES.items():
        if setting in section["properties"]:
            return f"{path}, {kind}"
    return path


def _section(schema: _Node, heading: str, section: _Node, sections: Sequence[tuple[str, _Node]]) -> str:
    required = section.get("required", ())
    rows = ["| setting | value | default | what it is |", "| --- | --- | --- | --- |"]
    for name, node in section["properties"].items():
        value, default = _value(schema, node, sections), _default(name, node, required)
        rows.append(f"| `{name}` | {value} | {default} | {_description(schema, node)} |")
    told = " ".join(section["description"].split())
    return f"## {heading}\n\n{told}\n\n" + "\n".join(rows) + "\n"


def _description(schema: _Node, node: _Node) -> str:
    """A setting's own, which pydantic leaves out where it is that of its section."""
    return str(node["description"] if "description" in node else _resolved(schema, node["$ref"])["description"])


def _default(name: str, node: _Node, required: Sequence[str]) -> str:
    if name in required:
        return "required"
    default = node.get("default")
    if default is None or isinstance(default, dict):
        return ""
    return f"`{json.dumps(default)}`"


def _value(schema: _Node, node: _Node, sections: Sequence[tuple[str, _Node]]) -> str:
    """What may be written, in words."""
    if "$ref" in node:
        target = _resolved(schema, node["$ref"])
        heading = next(heading for heading, section in sections if section is target)
        return f"[{heading.partition(', ')[2] or 'settings'}](#{_anchor(heading)})"
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return " or ".join(f"`{value}`" for value in node["enum"])
    choices = [
        choice for choice in (*node.get("anyOf", ()), *node.get("oneOf", ())) if choice.get("type") != "null"
    ]
    if any(choice.get("type") == "number" for choice in choices):  # a decimal, which JSON may also write as text
        choices = [choice for choice in choices if choice.get("type") == "number"]
    if choices:
        return " or ".join(_value(schema, choice, sections) for choice in choices)
    if node["type"] == "array":
        return f"list of {_value(schema, node['items'], sections)}s"
    for _, value in _by_name(node):
        return f"NAME: {_value(schema, value, sections)}"
    return _FORMS.get(node.get("format", ""), _KINDS[node["type"]]) + _bounds(node)


def _bounds(node: _Node) -> str:
    if "minimum" in node and "maximum" in node:
        return f", {node['minimum']:g} to {node['maximum']:g}"
    if "minimum" in node:
        return f", at least {node['minimum']:g}"
    return f", more than {node['exclusiveMinimum']:g}" if "exclusiveMinimum" in node else ""


def _anchor(heading: str) -> str:
    """The anchor that Markdown viewers give a heading."""
    kept = "".join(sign for sign in heading.lower() if sign.isalnum() or sign in " -_")
    return kept.replace(" ", "-")
