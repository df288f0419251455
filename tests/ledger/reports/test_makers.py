"""The catalogue, the return and the summary, as the server's desk hands them out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.errors import InvalidRequest
from contracts.records import UsageEvent
from contracts.reporting import ReportFormat, ReportQuestion, Surroundings
from ledger.reports.catalogue import Catalogue, ListedModel
from ledger.reports.desk import MAKERS, ReportDesk
from ledger.reports.makers import makers_of
from ledger.spool import Spool


@pytest.fixture
def desk(url: str, folder: Path) -> ReportDesk:
    catalogue = Catalogue(models={"large": ListedModel(upstream="openai", owner="Ada")})
    return ReportDesk(url, folder, Surroundings, {**MAKERS, **makers_of(lambda: catalogue)})


@pytest.mark.parametrize("name", ["audit", "roi", "summary"])
@pytest.mark.parametrize(
    ("form", "media_type"), [("json", "application/json"), ("html", "text/html; charset=utf-8")]
)
async def test_each_by_its_name(
    desk: ReportDesk,
    spool: Spool,
    make_event: Callable[..., UsageEvent],
    name: str,
    form: ReportFormat,
    media_type: str,
) -> None:
    assert name in desk.names
    spool.append(make_event())
    made = await desk.make(name, ReportQuestion(tenant="acme", format=form))
    assert made.media_type == media_type
    if form == "json":
        found = json.loads(made.body)
        assert (found["name"], found["tenant"]) == (name, "acme")


async def test_the_catalogue_is_the_one_in_force(desk: ReportDesk) -> None:
    (row,) = json.loads((await desk.make("audit", ReportQuestion())).body)["rows"]
    assert (row["model"], row["owner"], row["flags"]) == ("large", "Ada", "no price, unused")


@pytest.mark.parametrize("question", [ReportQuestion(by="tenant"), ReportQuestion(allocate=True)])
async def test_they_are_not_cut(desk: ReportDesk, question: ReportQuestion) -> None:
    with pytest.raises(InvalidRequest, match="Only the report of costs"):
        await desk.make("summary", question)
