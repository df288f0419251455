"""`weir prompts promote` and `rollback`: what may be put in force, and that there is always a way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.prompts import PROMPT
from tests.weir.prompt_desk import BETTER, Desk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def last(desk: Desk) -> dict[str, object]:
    *_, entry = desk.registry.log.entries(kind=PROMPT, name="support")
    return {"what": entry.what, "reason": entry.reason, **entry.evidence}


def test_what_no_gate_has_passed_is_refused_with_what_to_do(desk: Desk) -> None:
    better = desk.stored()
    result = desk.run("promote", "support", better)
    assert result.exit_code == 1
    for part in (f"support@{better}", "weir eval gate", f"--record prompt/support@{better}", "--force"):
        assert part in result.stderr, part
    assert desk.registry.aliases(PROMPT, "support") == {}


def test_what_only_a_tenant_gets_is_measured_as_that_tenant(desk: Desk) -> None:
    config = Path("weir.yaml")
    config.write_text(config.read_text().replace("candidates: [large], prompt: tickets", "candidates: [large]"))
    result = desk.run("promote", "tickets", desk.stored(BETTER, "tickets"))
    assert "--target support --tenant globex --prompt tickets@" in result.stderr


def test_what_passed_is_in_force_and_what_was_before_is_previous(desk: Desk) -> None:
    written, better = desk.file, desk.stored()
    desk.judged(better)
    assert f"{better} is in force" in desk.run("promote", "support", better).stdout
    row = desk.listed()
    assert (row["in_force"], row["previous"]) == (better, written)
    verdict, *_ = [entry for entry in desk.registry.log.entries(name="support") if entry.what == "verdict"]
    assert last(desk)["verdict"] == verdict.number
    again = desk.told("promote", "support", better)
    assert (again["moved"], again["instead_of"]) == (False, better)


def test_a_gate_s_verdict_counts_as_an_optimiser_s_does(desk: Desk) -> None:
    better = desk.stored()
    desk.registry.verdict(PROMPT, "support", better, passed=True, by="ci", reason="passed", evidence={"gate": {}})
    assert desk.told("promote", "support", better)["moved"]


def test_the_latest_verdict_counts(desk: Desk) -> None:
    better = desk.stored()
    desk.judged(better)
    desk.judged(better, passed=False)
    result = desk.run("promote", "support", better)
    assert (result.exit_code, "not enough cases" in result.stderr) == (1, True)


@pytest.mark.parametrize("other", ["promoted", "edited"])
def test_evidence_beside_what_serves_no_longer_is_stale(desk: Desk, other: str) -> None:
    better = desk.stored()
    desk.judged(better)
    if other == "promoted":
        assert desk.run("promote", "support", desk.stored("Another."), "--force", "--reason", "now").exit_code == 0
    else:
        Path("support.md").write_text("Another.")
    before = desk.listed()["in_force"]
    result = desk.run("promote", "support", better)
    assert result.exit_code == 1
    assert f"{before} is in force now" in result.stderr
    assert desk.listed()["in_force"] == before


def test_force_needs_a_reason_and_is_logged(desk: Desk) -> None:
    better = desk.stored()
    assert desk.run("promote", "support", better, "--force").exit_code == 2
    assert desk.told("promote", "support", better, "--force", "--reason", "an incident")["forced"]
    entry = last(desk)
    assert (entry["what"], entry["reason"]) == ("point", "an incident")
    assert "No gate has passed" in str(entry["forced"])


def test_a_canary_needs_no_verdict_and_says_what_it_gets(desk: Desk) -> None:
    result = desk.run("promote", "support", desk.stored(), "--as", "canary")
    assert "gets no request before you set `prompts.support.canary_share`" in result.stdout
    assert "its canary gets no traffic" in desk.run("list").stdout
    better = desk.stored(BETTER, "tickets")
    assert "it gets 10% of requests" in desk.run("promote", "tickets", better, "--as", "canary").stdout
    row = desk.listed("tickets")
    assert (row["canary"], row["source"]) == (better, "file")
    listed = desk.run("list").stdout
    assert (better in listed, "canary, 10%" in listed) == (True, True)
    assert "is the canary for tickets already" in desk.run("promote", "tickets", better, "--as", "canary").stdout
    assert "is in force for tickets already" in desk.run("promote", "tickets", "file", "--as", "canary").stdout
    assert desk.listed("tickets")["canary"] == better


def test_what_may_not_be_served_at_all_is_no_canary(desk: Desk) -> None:
    better = desk.stored()
    desk.judged(better, passed=False, refusals=("it quotes the training case refund-4",))
    result = desk.run("promote", "support", better, "--as", "canary")
    assert (result.exit_code, "it quotes the training case refund-4" in result.stderr) == (1, True)
    desk.judged(better, passed=False)
    assert desk.run("promote", "support", better, "--as", "canary").exit_code == 0


def test_a_canary_that_is_put_in_force_is_one_no_longer(desk: Desk) -> None:
    better = desk.stored()
    desk.judged(better)
    assert desk.run("promote", "support", better, "--as", "canary").exit_code == 0
    assert desk.told("promote", "support", "canary")["version"] == better
    row = desk.listed()
    assert (row["in_force"], row["canary"]) == (better, None)


def test_a_rollback_puts_back_what_was_before(desk: Desk) -> None:
    written, better = desk.file, desk.stored()
    desk.judged(better)
    assert desk.run("promote", "support", better).exit_code == 0
    result = desk.run("rollback", "support", "--reason", "it invents refunds")
    assert f"{written}, what support.md says, is in force" in result.stdout
    assert (desk.listed()["in_force"], last(desk)["reason"]) == (written, "it invents refunds")
    result = desk.run("rollback", "support", "--reason", "once more")
    assert (result.exit_code, "nothing to roll support back to" in result.stderr) == (1, True)


def test_a_rollback_leaves_the_canary_and_says_so(desk: Desk) -> None:
    canary, better = desk.stored("A trial.", "tickets"), desk.stored(BETTER, "tickets")
    for arguments in ((canary, "--as", "canary"), (better, "--force", "--reason", "now")):
        assert desk.run("promote", "tickets", *arguments).exit_code == 0
    result = desk.run("rollback", "tickets", "--reason", "worse")
    assert f"The canary {canary} still gets 10% of requests." in result.stdout
    told = desk.told("rollback", "tickets", "--as", "canary", "--reason", "worse too")
    assert (told["canary"], told["instead_of"], told["moved"]) == (None, canary, True)
    assert desk.run("rollback", "tickets", "--as", "canary", "--reason", "again").exit_code == 1


def test_where_the_file_was_edited_a_rollback_changes_nothing(desk: Desk) -> None:
    better = desk.stored()
    desk.judged(better)
    assert desk.run("promote", "support", better).exit_code == 0
    Path("support.md").write_text("Something else.")
    before = desk.registry.aliases(PROMPT, "support")
    result = desk.run("rollback", "support", "--reason", "bad")
    assert (result.exit_code, "support.md serves already" in result.stdout) == (0, True)
    assert not desk.told("rollback", "support", "--reason", "bad")["moved"]
    assert desk.registry.aliases(PROMPT, "support") == before


def test_nothing_from_before_an_edit_comes_back_over_the_edited_file(desk: Desk) -> None:
    better = desk.stored()
    assert desk.run("promote", "support", better, "--force", "--reason", "now").exit_code == 0
    assert desk.run("promote", "support", "file", "--force", "--reason", "back").exit_code == 0
    Path("support.md").write_text("Something else.")
    assert desk.listed()["set_aside"] == []
    assert "serves already" in desk.run("rollback", "support", "--reason", "bad").stdout
    assert desk.run("promote", "support", desk.stored("A trial."), "--as", "canary").exit_code == 0
    result = desk.run("rollback", "support", "--reason", "bad")
    assert (result.exit_code, "nothing to roll support back to" in result.stderr) == (1, True)
    assert desk.listed()["in_force"] == desk.file


def test_what_was_exported_into_the_file_can_be_rolled_back(desk: Desk) -> None:
    written, better = desk.file, desk.stored()
    desk.judged(better)
    assert desk.run("promote", "support", better).exit_code == 0
    assert desk.run("export", "support", "--out", "support.md", "--overwrite").exit_code == 0
    told = desk.told("rollback", "support", "--reason", "bad")
    assert (told["in_force"], told["instead_of"]) == (written, better)
    assert desk.listed()["in_force"] == written


def test_the_file_s_own_version_can_be_promoted(desk: Desk) -> None:
    written, better = desk.file, desk.stored()
    assert desk.run("promote", "support", better, "--force", "--reason", "now").exit_code == 0
    assert desk.told("promote", "support", "file", "--force", "--reason", "back")["version"] == written
    assert desk.listed()["in_force"] == written


def test_a_damaged_version_is_not_promoted(desk: Desk) -> None:
    better = desk.stored()
    desk.judged(better)
    (desk.registry.get(PROMPT, "support", better).folder / "prompt.json").write_bytes(b"{}")
    result = desk.run("promote", "support", better)
    assert (result.exit_code, "is damaged" in result.stderr) == (1, True)
    assert desk.registry.aliases(PROMPT, "support") == {}
