"""Whether the gate stops a student that learned shuffled answers, beside one that learned the right ones.

    python benchmarks/student_shuffled.py --work .weir/distill/student --train-python .venv-train/bin/python --json

`--work` is what `weir distill run` left of the example's recipe. Both students are trained from it for as few
`--steps`, one on its train part as it is, one with the answers of that part drawn anew among its questions; then
compressed and judged as the recipe says.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from distill.student.examples import TRAIN, read_examples, write_examples
from distill.student.recipe import read_recipe
from distill.student.stages import CURATE, stages_of
from encoder.card import BUILT
from weir.distill_recipe import Order, means_of, watched

_RECIPE = Path("examples/support/student/recipe.yaml")
_AFTER = ("train", "compress", "gate")


def shuffle(path: Path, seed: int) -> int:
    """Give the questions of a train part each other's answers; how many got another one."""
    examples = read_examples(path)
    answers = [one.answer for one in examples]
    random.Random(seed).shuffle(answers)
    changed = [replace(one, answer=answer) for one, answer in zip(examples, answers, strict=True)]
    write_examples(path, changed)
    return sum(one.answer != other.answer for one, other in zip(examples, changed, strict=True))


def judged(work: Path, folder: Path, changes: Mapping[str, Any], *, seed: int | None) -> dict[str, Any]:
    """What the gate says of a student trained in `folder`; with a `seed`, on shuffled answers."""
    shutil.copytree(work / CURATE, folder / CURATE)
    shutil.copytree(work / "mine", folder / "mine")
    other = shuffle(folder / CURATE / TRAIN, seed) if seed is not None else 0
    recipe = read_recipe(_RECIPE, changes)
    means = means_of(Order(recipe=recipe, folder=folder, encoder=BUILT, as_json=True))
    told: Mapping[str, Any] = {}
    with watched(False) as tell:
        for stage in stages_of(means):
            if stage.name in _AFTER:
                (folder / stage.name).mkdir()
                told = stage.work(folder / stage.name, tell)
    return {**told, "other_answers": other}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a finished work folder of the example")
    parser.add_argument("--train-python", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    changes = {"train_python": args.train_python.absolute(), "train.steps": args.steps}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, seed in (("right", None), ("shuffled", args.seed)):
            found[name] = judged(args.work, Path(folder) / name, changes, seed=seed)
    if args.json:
        print(json.dumps(found))
        return
    table = Table("learned", "passed", "intents", "delivered", "reasons")
    for name, told in found.items():
        reasons = "\n".join(one for one in told["reasons"] if one.startswith("failed"))
        table.add_row(name, str(told["passed"]), str(told["intents"]), f"{told['delivered']:.1%}", reasons)
    Console().print(table)


if __name__ == "__main__":
    main()
