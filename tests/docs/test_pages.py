"""The hand-written pages say what the code does: commands, links, headers and metrics."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.e2e.running import ADMIN_KEY, running_weir, write_config

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_make_knows_every_target_that_is_promised() -> None:
    makefile = (ROOT / "Makefile").read_text()
    promised = {
        target for page in PAGES for target in re.findall(r"^make ([a-z]+)", page.read_text(), re.MULTILINE)
    }
    assert {"serve", "test"} <= promised
    for target in promised:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_readme_is_one_screen_and_its_python_runs(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 80
    snippet = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert snippet is not None
    printed: list[str] = []
    with running_weir(ROOT / "examples/support/weir.yaml", tmp_path) as weir:
        code = snippet[1].replace("http://127.0.0.1:8080", weir.url)
        exec(compile(code, "README.md", "exec"), {"print": printed.append})
    assert printed[0].strip()


@pytest.fixture(scope="module")
def page_of_metrics(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("docs")
    with running_weir(write_config(folder), folder / "state") as weir:
        weir.client().chat.completions.create(model="auto", messages=[{"role": "user", "content": "Hello"}])
        return str(weir.get("/metrics", ADMIN_KEY)[1])


def test_every_metric_is_documented_and_every_documented_one_exists(page_of_metrics: str) -> None:
    reference = (ROOT / "docs/reference/metrics.md").read_text()
    ours = "(?:weir|process)" if sys.platform == "linux" else "weir"
    documented = {name.removesuffix("_total") for name in re.findall(rf"`({ours}_[a-z_]+)`", reference)}
    exposed = {
        name.removesuffix("_total")
        for name in re.findall(rf"^# TYPE ({ours}_\w+)", page_of_metrics, re.MULTILINE)
        if not name.endswith("_created")
    }
    assert documented == exposed


def test_every_header_is_documented(tmp_path: Path) -> None:
    reference = (ROOT / "docs/reference/api.md").read_text()
    with running_weir(ROOT / "examples/support/weir.yaml", tmp_path) as weir:
        reply = weir.client().chat.completions.with_raw_response.create(
            model="support", messages=[{"role": "user", "content": "Hello"}]
        )
        paths = weir.get("/openapi.json")[1]["paths"]
    sent = {name for name in reply.headers if name.startswith("x-weir-")}
    documented = set(re.findall(r"^\| `(x-weir-[a-z-]+)` \|", reference, re.MULTILINE))
    asked_for = {"x-weir-session"}
    at_times = {"x-weir-degraded", "x-weir-cache-entry", "x-weir-cache-similarity"}
    looked_up = {"x-weir-retrieval", "x-weir-passages"}
    assert documented - sent <= asked_for | at_times | looked_up
    assert sent <= documented
    addresses = set(re.findall(r"/[a-z0-9_/{}.]+", reference))
    assert {re.sub(r"\{[a-z_:]+\}", "{}", path) for path in paths} <= {
        re.sub(r"\{[a-z_]+\}", "{}", path) for path in addresses
    }
