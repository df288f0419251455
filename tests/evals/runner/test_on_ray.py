from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from evals.run_folder import read_run
from evals.runner.ending import Ending
from evals.runner.evaluation import carry_out, locally, prepared
from evals.runner.on_ray import on_ray
from evals.runner.recall import Recall
from evals.targets.spec import TargetSpec, open_target
from tests.evals.runner.plain import Went, order, questions, write_suite
from tests.evals.targets.servers import scripted

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


async def test_a_run_on_ray_gives_the_same_as_one_here_and_keeps_the_cap(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(24))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        async with scripted() as server:
            spec = TargetSpec(
                base_url=server.base_url, target="slow-5/echo", price="input=100,output=1000", timeout_s=10
            )

            async def go(name: str, ray_way: bool = True, cap: Decimal | None = None) -> Went:
                ending = Ending()
                request = {"max_tokens": 20}
                wanted = order(suite, tmp_path / name, cap=cap, request=request)
                async with open_target(spec) as target:
                    with prepared(wanted, target, ending, Recall(None)) as ready:
                        await carry_out(ready, on_ray(spec) if ray_way else locally, lambda _: None)
                        return Went(ending.reason, ready)

            here = await go("here", ray_way=False)
            there = await go("there")
            assert there.reason == here.reason == ""
            assert there.scores == here.scores
            assert [row.key for row in there.rows] == [row.key for row in here.rows]
            assert there.run.tally.spent == here.run.tally.spent > 0
            assert there.run.manifest.config_hash == here.run.manifest.config_hash
            assert read_run(tmp_path / "there").complete
            assert sum(server.calls.values()) == 48

            cap = there.run.tally.spent / 2
            capped = await go("capped", cap=cap)
            assert "--max-usd" in capped.reason
            assert capped.run.tally.spent <= cap
    finally:
        ray.shutdown()
