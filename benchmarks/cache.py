"""How many questions the semantic cache answers, how many of them wrongly, and whether the bound asked for is kept.

    .venv/bin/python benchmarks/cache.py --data DIR
    .venv/bin/python benchmarks/cache.py --train DIR --test DIR --json --plot curves.svg

Verifiers and the first thresholds come from the train folder, judgement from the test folder; `--data` is cut in
two by groups of questions, so that nothing is judged on what it was learned from. What is replayed is the cache as
it ships: a miss stores, a hit does not, a twentieth of the hits is audited and the scope learns on from them.

Streams: A is a mix of sources in one namespace, S the same without those whose labels are noisy, I intents; then
each source alone. Each with 1, 2 and 5 % wrong answers allowed, in its order of arrival; the mixes also shuffled
and one source after the other. Then traffic with repeats, traps, and questions that only their history makes clear.
The last line of `--json` has all goals.
"""

import sys
from importlib import import_module
from pathlib import Path

# A script's own folder stands first in sys.path, where this file hides the package that it measures.
if __name__ in ("__main__", "cache"):
    sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).resolve().parent]

if __name__ == "cache":  # another script of this folder meant the package
    del sys.modules["cache"]
    sys.modules["cache"] = import_module("cache")

if __name__ == "__main__":
    from benchmarks.cache_goals import main

    main(__doc__)
