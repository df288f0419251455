"""`weir prompts`: what is listed, shown, compared, stored and exported on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
import pytest

from prompts.reading import read_prompt
from registry.prompts import PROMPT, promote
from tests.weir.prompt_desk import BETTER, TICKETS, Desk
from weir.prompts import prompts


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def in_force(desk: Desk, version: str) -> None:
    content = read_prompt(Path("support.md"), "prepend").content
    promote(desk.registry, "support", content, version, by="jane", reason="better")


def test_a_list_tells_what_serves_whom(desk: Desk) -> None:
    support, tickets = desk.told("list")["prompts"]
    assert support["in_force"] == desk.file
    assert (support["source"], support["versions"], support["previous"]) == ("file", 1, None)
    assert support["routes"] == ["support"]
    assert tickets["tenants"] == {"globex": ["support"]}
    lines = desk.run("list").stdout.splitlines()
    assert any("tickets" in line and tickets["in_force"] in line for line in lines)
    assert any("support for globex" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_a_list_tells_what_was_promoted_and_what_is_set_aside(desk: Desk) -> None:
    written, better = desk.file, desk.stored()
    in_force(desk, better)
    row = desk.listed()
    assert (row["in_force"], row["source"], row["previous"]) == (better, "registry", written)
    assert (row["versions"], row["set_aside"]) == (2, [])
    Path("support.md").write_text("Something else.")
    row = desk.listed()
    assert (row["in_force"], row["source"], row["set_aside"]) == (desk.file, "file", [better])
    assert f"{better} was promoted and is set aside" in desk.run("list").stdout


def test_a_list_says_what_must_be_optimised_again(desk: Desk) -> None:
    better = desk.stored()
    desk.judged(better)
    in_force(desk, better)
    assert desk.listed()["optimise_again"] is None
    config = Path("weir.yaml").read_text()
    Path("weir.yaml").write_text(config.replace("upstream: stand-in,", "upstream: stand-in, name: newer,"))
    again = desk.listed()["optimise_again"]
    assert "newer of stand-in" in again["reasons"][0]
    assert again["advice"] in " ".join(desk.run("list").stdout.split())
    Path("weir.yaml").rename("other.yaml")
    elsewhere = " ".join(desk.run("list", "--config", "other.yaml").stdout.split())
    assert f"{again['advice']} --config {Path('other.yaml').absolute()}" in elsewhere


def test_a_damaged_version_is_told_and_the_others_are_listed(desk: Desk) -> None:
    better = desk.stored()
    in_force(desk, better)
    (desk.registry.get(PROMPT, "support", better).folder / "prompt.json").write_bytes(b"{}")
    support, tickets = desk.told("list")["prompts"]
    assert "is damaged" in support["notes"][0]
    assert (support["tokens"], tickets["tokens"] > 0) == (None, True)
    result = desk.run("show", "support")
    assert (result.exit_code, "is damaged" in result.stderr) == (1, True)


def test_a_version_is_shown_with_all_its_parts(desk: Desk) -> None:
    shown = desk.run("show", "tickets")
    for part in ("rules · locked", "role · tunable", "My brewer leaks.", "most_words", "It is in force", "Tolvana"):
        assert part in shown.stdout, part
    assert max(map(len, shown.stdout.splitlines())) <= 80
    told = desk.told("show", "tickets")
    assert told["sections"][1] == {"name": "rules", "text": "Never name a customer.", "locked": True}
    assert told["slots"] == {"company": "Tolvana"}
    assert told["in_force"]
    assert told["evidence"] is None


def test_a_narrow_table_cuts_no_version_and_no_command(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    better = desk.stored()
    desk.judged(better)
    assert desk.run("promote", "support", better).exit_code == 0
    assert better in desk.run("list").stdout
    Path("support.md").write_text("Something else.")
    assert f"`weir prompts diff support {better} file`" in desk.run("list").stdout


def test_what_was_measured_and_what_happened_is_shown(desk: Desk) -> None:
    better = desk.stored()
    desk.judged(better)
    in_force(desk, better)
    shown = desk.run("show", "support").stdout
    for part in ("60.0%", "+20.0", "refunds (12)", "-50.0%", "$1.25", "1,250 requests", "point production"):
        assert part in shown, part
    assert "odd (1)" not in shown
    assert "1 of 2 segments have not enough cases: --json has them." in shown
    told = desk.told("show", "support", better)
    assert [share["segment"] for share in told["evidence"]["segments"]] == ["refunds", "odd"]
    assert told["evidence"]["spent"] == "1.25"
    assert [entry["what"] for entry in told["history"]] == ["put", "verdict", "point"]
    assert f"It is not in force: {better} is." in desk.run("show", "support", "file").stdout


def test_letters_that_steer_a_terminal_are_not_printed(desk: Desk) -> None:
    version = desk.stored("Be kind.\x1b[2J\x07 Be brief.")
    for verb in (("show", "support", version), ("diff", "support", "file", version)):
        assert not {"\x1b", "\x07"} & set(desk.run(*verb).stdout)


def test_a_difference_is_told_by_words_and_by_parts(desk: Desk) -> None:
    better = desk.stored()
    shown = " ".join(desk.run("diff", "support", "file", better).stdout.replace("│", " ").split())
    assert "Be {+kind and+} brief. Never promise a [-refund.-]{+refund, and name the page.+}" in shown
    assert "tokens before" in shown
    told = desk.told("diff", "support", "file", better)
    assert told["a"]["version"] == desk.file
    assert told["b"]["tokens"] > told["a"]["tokens"]
    (section,) = told["sections"]
    added = [each["text"].strip() for each in section["passages"] if each["change"] == "added"]
    assert added == ["kind and", "refund, and name the page."]


def test_parts_that_came_and_went_are_told(desk: Desk) -> None:
    Path("new.yaml").write_text(TICKETS.replace("My brewer leaks.", "It drips.").replace("12", "9"))
    version = desk.told("add", "tickets", "new.yaml")["version"]
    shown = desk.run("diff", "tickets", "file", version).stdout
    for part in (
        "- contract most_words: 12",
        "+ contract most_words: 9",
        "user: It drips.",
        "Unchanged: role, rules.",
    ):
        assert part in shown, part


def test_without_versions_what_is_in_force_is_compared_with_what_came_before(desk: Desk) -> None:
    written, better = desk.file, desk.stored()
    assert desk.told("diff", "support")["same"]
    in_force(desk, better)
    told = desk.told("diff", "support")
    assert (told["a"]["version"], told["b"]["version"]) == (written, better)
    Path("support.md").write_text("Something else.")
    told = desk.told("diff", "support")
    assert (told["a"]["version"], told["b"]["version"]) == (better, desk.file)


def test_what_does_not_change_is_cut_short_in_a_long_text(desk: Desk) -> None:
    words = " ".join(f"word{number}" for number in range(200))
    Path("support.md").write_text(f"Be brief. {words} End.")
    version = desk.stored(f"Be kind. {words} Stop.")
    shown = desk.run("diff", "support", "file", version).stdout
    assert "word3 " in shown
    assert "word197" in shown
    assert "word100" not in shown
    Path("support.md").write_text(f"{words} End.")
    shown = desk.run("diff", "support", "file", desk.stored(f"{words} Stop.")).stdout
    assert "word3 " not in shown
    assert "word197" in shown


def test_adding_stores_and_serves_nobody(desk: Desk) -> None:
    Path("better.md").write_text(BETTER)
    result = desk.run("add", "support", "better.md")
    version = read_prompt(Path("better.md"), "prepend").version
    assert f"Stored version {version}" in result.stdout
    assert f"--prompt support@{version}" in result.stdout
    assert f"--record prompt/support@{version}" in result.stdout
    assert desk.listed()["in_force"] == desk.file
    assert desk.registry.versions(PROMPT, "support") == [version]
    assert "in force already" in desk.run("add", "support", "support.md").stdout


def test_adding_tells_what_may_not_be_meant(desk: Desk) -> None:
    config = Path("weir.yaml").read_text()
    Path("weir.yaml").write_text(config.replace("canary_share: 0.1", "most_tokens: 60"))
    Path("odd.yaml").write_text("sections: [{name: role, text: " + "You write tickets. " * 20 + "}]")
    notes = desk.told("add", "tickets", "odd.yaml")["notes"]
    assert len(notes) == 3
    assert "'rules'" in notes[0]
    assert "company" in notes[1]
    assert "most_tokens" in notes[2]


def test_an_export_reads_back_to_the_same_version(desk: Desk) -> None:
    for name, suffix in (("support", "md"), ("tickets", "yaml"), ("tickets", "YML")):
        version = desk.listed(name)["in_force"]
        assert desk.run("export", name, "--out", f"out.{suffix}").exit_code == 0
        assert read_prompt(Path(f"out.{suffix}"), "prepend").version == version
        Path(f"again.{suffix}").write_text(desk.run("export", name).stdout)
        assert read_prompt(Path(f"again.{suffix}"), "prepend").version == version


def test_exported_into_the_configured_file_the_same_version_serves(desk: Desk) -> None:
    better = desk.stored()
    in_force(desk, better)
    refused = desk.run("export", "support", "--out", "support.md")
    assert (refused.exit_code, "--overwrite" in refused.stderr) == (1, True)
    assert desk.run("export", "support", "--out", "support.md", "--overwrite").exit_code == 0
    assert (desk.listed()["in_force"], desk.listed()["source"]) == (better, "file")
    assert desk.listed()["set_aside"] == []


def test_an_export_says_what_the_configuration_must_say(desk: Desk) -> None:
    version = desk.told("add", "support", "tickets.yaml")["version"]
    refused = desk.run("export", "support", version, "--out", "support.md", "--overwrite")
    assert (refused.exit_code, "needs YAML: write it to support.yaml" in refused.stderr) == (1, True)
    config = Path("weir.yaml").read_text()
    Path("weir.yaml").write_text(config.replace("file: support.md", "file: support.md, merge: append"))
    file, merge = desk.told("export", "support", version)["notes"]
    assert "prompts.support.file" in file
    assert "set `prompts.support.merge` to prepend" in merge


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "suport"), "Did you mean 'support'?"),
        (("show", "support", "0123456789abcdef"), "has no version or alias '0123456789abcdef'"),
        (("diff", "support", "previous"), "Aliases: file; none is stored"),
        (("add", "support", "none.md"), "none.md cannot be read"),
        (("add", "support", "empty.yaml"), "empty.yaml is no prompt"),
        (("list", "--config", "none.yaml"), "none.yaml has a problem"),
        (("export", "support", "--out", "none/out.md"), "cannot be written"),
    ],
)
def test_what_cannot_be_is_one_error_with_advice(desk: Desk, arguments: tuple[str, ...], said: str) -> None:
    Path("empty.yaml").write_text("sections: []")
    result = desk.run(*arguments)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_a_registry_that_cannot_be_used_is_an_error_with_advice(desk: Desk) -> None:
    desk.stored()
    shutil.rmtree("state/registry")
    Path("state/registry").write_text("in the way")
    result = desk.run("add", "support", "support.md")
    assert result.exit_code == 1
    assert "WEIR_STATE_DIR" in result.stderr


def test_every_verb_has_examples_and_json(desk: Desk) -> None:
    context = click.Context(prompts)
    for name in prompts.list_commands(context):
        shown = desk.run(name, "-h")
        assert shown.exit_code == 0, name
        assert f"weir prompts {name}" in shown.stdout, name
        assert "--json" in shown.stdout, name
    assert json.loads(desk.run("list", "--json").stdout)
