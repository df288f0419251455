"""The list of runs in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from evals.reporting.runs_page import folders_in, listed, runs_page, stamp, written_summary
from evals.run_folder import MANIFEST, RESULTS, SUMMARY
from evals.summary import summarise
from tests.evals.reporting.reading import Read
from tests.evals.reporting.runs import answered, cases, good_but, write_run


def test_runs_are_found_in_folders_of_folders_and_nothing_else_is(tmp_path: Path) -> None:
    for name in ("large", "nightly/one", ".hidden/run"):
        write_run(tmp_path / name, cases(4), good_but(2))
    (tmp_path / "empty").mkdir()
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / RESULTS).write_text("")
    assert list(folders_in(tmp_path)) == ["large", "nightly/one", "torn"]
    assert folders_in(tmp_path / "large") == {"large": tmp_path / "large"}


def test_complete_incomplete_empty_and_damaged_runs_are_told_apart(tmp_path: Path) -> None:
    write_run(tmp_path / "whole", cases(20), good_but(4))
    write_run(tmp_path / "half", cases(20), lambda case, n: answered(case, n, True) if len(case.id) < 3 else None)
    write_run(tmp_path / "empty", cases(20), lambda _, __: None)
    write_run(tmp_path / "torn", cases(20), good_but(4))
    (tmp_path / "torn" / RESULTS).write_text("{}\n")
    write_run(tmp_path / "headless", cases(20), good_but(4))
    (tmp_path / "headless" / MANIFEST).unlink()
    found = Read(runs_page(tmp_path, [listed(name, folder) for name, folder in folders_in(tmp_path).items()]))
    assert "complete" in found.text
    assert "incomplete: 10 of 20" in found.text
    assert "holds no answers yet" in found.text
    assert found.text.count("damaged: /") == 2
    links = [value for name, value in found.attributes if name == "href" and value.startswith("/run")]
    assert sorted(links) == ["/run?name=half", "/run?name=whole"]


def test_a_name_of_a_folder_is_a_text_and_its_link_leads_to_it(tmp_path: Path) -> None:
    name = 'a&b "c" <i>'
    write_run(tmp_path / name, cases(4), good_but(2), target="<b>")
    found = Read(runs_page(tmp_path, [listed(name, tmp_path / name)]))
    assert "i" not in found.tags
    assert ("href", "/run?name=a%26b+%22c%22+%3Ci%3E") in found.attributes


@pytest.mark.parametrize("later", [True, False])
def test_the_summary_that_a_run_left_is_used_unless_answers_have_come_since(tmp_path: Path, later: bool) -> None:
    run = write_run(tmp_path / "run", cases(8), good_but(2))
    (run.folder / SUMMARY).write_bytes(msgspec.json.encode(summarise(run)))
    moment = (run.folder / SUMMARY).stat().st_mtime_ns + (1_000_000_000 if later else -1_000_000_000)
    os.utime(run.folder / RESULTS, ns=(moment, moment))
    assert (written_summary(run.folder) is None) == later


def test_a_stamp_changes_with_the_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", cases(8), good_but(2))
    before = stamp(run.folder)
    assert stamp(run.folder) == before
    with (run.folder / RESULTS).open("ab") as file:
        file.write(b"\n")
    assert stamp(run.folder) != before


def test_an_empty_folder_says_how_a_run_is_made(tmp_path: Path) -> None:
    assert "weir eval run" in Read(runs_page(tmp_path, [])).text
