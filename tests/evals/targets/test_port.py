from __future__ import annotations

import pickle

from evals.targets.port import TargetFailure


def test_a_failure_travels_whole_and_reads_as_its_message() -> None:
    failure = TargetFailure("busy", "Come back.", retryable=True, retry_after_s=2, slow_down=True)
    found = pickle.loads(pickle.dumps(failure))
    assert vars(found) == vars(failure)
    assert str(found) == "Come back."
