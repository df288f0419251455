"""The configuration's reference and guide say what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from router.config.load import ConfigError, load
from router.config.reference import EXAMPLE, files, json_schema, page
from router.config.schema import Config
from weir.check import check
from weir.reference import reference

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "guides/configuration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", files())
def test_the_files_are_those_that_the_code_writes(name: str) -> None:
    renew = "run `weir reference --write docs/reference`"
    assert (DOCS / "reference" / name).read_text(encoding="utf-8") == files()[name], renew


def test_the_example_passes_the_check(tmp_path: Path) -> None:
    path = tmp_path / "weir.yaml"
    path.write_text(EXAMPLE, encoding="utf-8")
    result = CliRunner().invoke(check, ["--config", str(path)], env={"OPENAI_API_KEY": None})
    assert result.exit_code == 0, result.output
    assert "Warning" not in result.output
    assert EXAMPLE in page()


def test_every_setting_is_on_the_page() -> None:
    schema, text = json_schema(), page()
    for section in (schema, *schema["$defs"].values()):
        for name in section["properties"]:
            assert f"\n| `{name}` | " in text


def test_every_link_on_the_page_leads_to_a_heading() -> None:
    headings = re.findall(r"^## (.+)$", page(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert len(anchors) == len(headings)
    links = re.findall(r"\(#([^)]+)\)", page())
    assert links
    assert set(links) <= anchors


def test_every_table_row_has_its_four_cells() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| ")]
    assert {len(re.split(r"(?<!\\) \| ", row.strip("| ").replace(" |  | ", " | - | "))) for row in rows} == {4}


class TestJSONSchema:
    def test_it_is_one_and_takes_the_example(self) -> None:
        jsonschema.Draft202012Validator.check_schema(json_schema())
        jsonschema.validate(yaml.safe_load(EXAMPLE), json_schema())

    @pytest.mark.parametrize(
        "wrong",
        [
            {"upstreams": {"u": {"kind": "scripted", "knowlege": "x"}}},
            {"upstreams": {"u": {"kind": "openai", "base_url": "https://h/v1", "api_key": "sk-plain"}}},
            {"server": {"drain_seconds": 0}},
            {"models": {"m": {"upstream": "u", "price": {"input": 1}}}},
        ],
    )
    def test_it_refuses_what_the_code_refuses(self, wrong: dict[str, Any]) -> None:
        document = {"upstreams": {}, "models": {}, "tenants": {}, **wrong}
        with pytest.raises(ValueError, match=r"validation error"):
            Config.model_validate(document)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, json_schema())


class TestVerb:
    def test_it_prints_the_page_or_the_schema(self) -> None:
        assert CliRunner().invoke(reference, []).output == page()
        assert json.loads(CliRunner().invoke(reference, ["--schema"]).output) == json_schema()

    def test_it_writes_both(self, tmp_path: Path) -> None:
        folder = tmp_path / "new"
        result = CliRunner().invoke(reference, ["--write", str(folder)])
        assert result.exit_code == 0
        assert {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()} == files()

    def test_a_folder_that_cannot_be_made_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        result = CliRunner().invoke(reference, ["--write", str(tmp_path / "file/folder")])
        assert result.exit_code == 1
        assert "file/folder" in result.output


class TestGuide:
    @pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL))
    def test_its_examples_hold_only_settings_that_exist(self, tmp_path: Path, block: str) -> None:
        path = tmp_path / "weir.yaml"
        path.write_text(block, encoding="utf-8")
        (tmp_path / "prompts").mkdir()
        (tmp_path / "prompts/support.txt").write_text("Be brief.", encoding="utf-8")
        try:
            load(path, {"OPENAI_API_KEY": "x"})
        except ConfigError as error:
            assert {problem.message for problem in error.problems} == {"is missing"}

    def test_the_settings_it_names_exist(self) -> None:
        schema = json_schema()
        named = re.findall(r"`(server|ledger|cache|breaker)\.(\w+)`", GUIDE)
        assert named
        for section, setting in named:
            target = schema["properties"][section]["$ref"].rpartition("/")[2]
            assert setting in schema["$defs"][target]["properties"]

    def test_the_merge_rules_are_those_of_the_schema(self) -> None:
        rules = json_schema()["$defs"]["Prompt"]["properties"]["merge"]["enum"]
        guide = (DOCS / "guides/prompts.md").read_text(encoding="utf-8")
        told = guide.partition("## Beside what the client says")[2].partition("## ")[0]
        assert re.findall(r"^\| `([\w-]+)` \| ", told, re.MULTILINE)[1:] == rules
