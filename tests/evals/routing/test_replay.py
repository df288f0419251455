"""What a policy would have made of recorded outcomes, worked out by hand and by simulation."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.routing.plot import svg
from evals.routing.policies import Choices, always, at_random, chosen_as, from_file, oracle
from evals.routing.recorded import Recorded, Unreplayable
from evals.routing.replay import Replay, Replayed, replay

MODELS = ("weak", "strong")


def recorded(scores: list[list[float]], costs: list[list[float]] | None = None) -> Recorded:
    """Of MODELS; a query costs 1 and 10 dollars unless `costs` says otherwise."""
    names = [f"q{place}" for place in range(len(scores))]
    return Recorded(
        models=MODELS,
        names=names,
        queries=names,
        clusters=names,
        scores=np.array(scores),
        costs=np.array(costs or [[1.0, 10.0]] * len(scores)),
    )


FOUR = recorded([[1, 1], [0, 1], [0, 0], [1, 0]])


def of(found: Replay, policy: str) -> Replayed:
    return next(one for one in found.policies if one.policy == policy)


def test_a_policy_by_hand() -> None:
    tried = chosen_as(FOUR, "mine", ["weak", "strong", "strong", "weak"], [0.1, 0.9, 0.5, -0.5])
    found = of(replay(FOUR, [tried], reference="strong"), "mine")
    assert found.quality.value == 0.75
    assert found.cost is not None
    assert found.cost.value == 5.5
    assert found.reference_share == 0.5
    assert found.below_single.value == pytest.approx(0.5 - 0.75)
    assert found.below_oracle.value == 0
    assert found.precision is not None
    assert found.precision.value == 0.5
    assert found.recall is not None
    assert found.recall.value == 1


def test_beside_it_stand_each_model_chance_and_the_oracle() -> None:
    tried = chosen_as(FOUR, "mine", ["weak", "strong", "strong", "weak"], [None] * 4)
    names = [one.policy for one in replay(FOUR, [tried], reference="strong").policies]
    assert names == ["mine", "by lot (50% strong)", "always weak", "always strong", "oracle"]


def test_the_oracle_takes_the_cheapest_of_the_best() -> None:
    found = of(replay(FOUR, [], reference="strong"), "oracle")
    assert (found.quality.value, found.reference_share) == (0.75, 0.25)
    assert found.cost is not None
    assert found.cost.value == 3.25


def test_where_costs_are_not_known_the_oracle_takes_the_worse_model_to_be_cheaper() -> None:
    unknown = recorded([[1, 1], [0, 1], [1, 1]], [[float("nan")] * 2] * 3)
    assert oracle(unknown).probabilities.tolist() == [[1, 0], [0, 1], [1, 0]]


def test_nothing_that_was_escalated_has_no_precision() -> None:
    found = of(replay(FOUR, [], reference="strong"), "always weak")
    assert found.precision is None
    assert found.recall is not None
    assert found.recall.value == 0


def test_costs_that_are_not_known_are_not_made_up() -> None:
    unknown = recorded([[1, 1], [0, 1]], [[float("nan")] * 2] * 2)
    found = replay(unknown, [at_random(unknown, 0.5, reference="strong")], reference="strong")
    assert not found.costs_known
    assert all(one.cost is None for one in found.policies)
    assert found.curves["by lot"] == [(0.0, 0.5), (1.0, 1.0)]


def test_gains_become_a_curve_from_one_model_to_the_other() -> None:
    rows = recorded([[0, 1], [1, 1], [0, 1], [1, 0]])
    tried = chosen_as(rows, "mine", ["strong", "weak", "strong", "weak"], [0.9, 0.2, 0.8, 0.1])
    found = replay(rows, [tried], reference="strong")
    costs, qualities = zip(*found.curves["mine"], strict=True)
    assert costs == pytest.approx((1, 3.25, 5.5, 7.75, 10))
    assert qualities == pytest.approx((0.5, 0.75, 1, 1, 0.75))
    assert of(found, "mine").apgr == pytest.approx((1 + 2 + 2 + 0.5 * 1) / 4)
    assert of(found, "mine").share_for_95 == pytest.approx(0.2125)


def test_a_good_policy_is_told_from_chance(tmp_path: Path) -> None:
    lots = np.random.default_rng(3)
    hard = lots.random(600)
    weak, strong = (lots.random(600) > hard).astype(float), (lots.random(600) > hard * 0.2).astype(float)
    rows = recorded(np.stack([weak, strong], axis=1).tolist())
    lines = [
        json.dumps({"query": f"q{place}", "model": MODELS[int(one > 0.5)], "gain": one})
        for place, one in enumerate(hard.tolist())
    ]
    (tmp_path / "choices.jsonl").write_text("\n".join(lines))
    found = replay(rows, [from_file(rows, tmp_path / "choices.jsonl")], reference="strong")
    mine, chance = found.policies[:2]
    assert mine.policy == str(tmp_path / "choices.jsonl")
    assert mine.quality.low > chance.quality.high
    assert mine.cost is not None
    assert chance.cost is not None
    assert mine.cost.value == pytest.approx(chance.cost.value)
    assert mine.apgr is not None
    assert mine.apgr > 0.6


def test_no_policy_hides_another(tmp_path: Path) -> None:
    files = []
    for model in MODELS:
        file = tmp_path / model / "choices.jsonl"
        file.parent.mkdir()
        file.write_text("".join(f'{{"query": "q{place}", "model": "{model}"}}\n' for place in range(4)))
        files.append(from_file(FOUR, file))
    lots = [at_random(FOUR, share, reference="strong") for share in (0.501, 0.503)]
    found = replay(FOUR, [*files, *lots], reference="strong")
    shares = [one.reference_share for one in found.policies[:4]]
    assert shares == pytest.approx([0, 1, 0.501, 0.503])


def test_a_file_of_choices_must_be_whole(tmp_path: Path) -> None:
    file = tmp_path / "choices.jsonl"
    file.write_text('{"query": "q0", "model": "weak"}\n')
    with pytest.raises(Unreplayable, match="no choice for 3 of 4"):
        from_file(FOUR, file)
    file.write_text('{"query": "q0", "model": "medium"}\n')
    with pytest.raises(Unreplayable, match="of medium"):
        from_file(FOUR, file)
    file.write_text("{}\n")
    with pytest.raises(Unreplayable, match="line 1"):
        from_file(FOUR, file)


scores = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 1.0])), min_size=2, max_size=20)


@given(rows=scores, share=st.floats(0, 1))
def test_nobody_is_better_than_the_oracle(rows: list[tuple[float, float]], share: float) -> None:
    known = recorded([list(row) for row in rows])
    best = (oracle(known).probabilities * known.scores).sum()
    tried: list[Choices] = [always(known, model) for model in MODELS]
    tried.append(at_random(known, share, reference="strong"))
    for choices in tried:
        assert choices.probabilities.sum(axis=1) == pytest.approx(1)
        assert (choices.probabilities * known.scores).sum() <= best + 1e-9


def test_the_plot_is_svg_with_every_policy() -> None:
    tried = chosen_as(FOUR, "mine <b>", ["weak", "strong", "strong", "weak"], [0.1, 0.9, 0.5, -0.5])
    drawn = ElementTree.fromstring(svg(replay(FOUR, [tried], reference="strong")))
    texts = {text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {"mine <b>", "1  mine <b>", "by lot", "oracle", "dollars a query"} <= texts
