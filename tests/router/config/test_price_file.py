"""The price file: the same prices as in the configuration, in a file of their own."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from router.config.load import ConfigError
from router.config.price_file import read_price_file
from router.config.prices import GpuPrice, ListedPrice, TokenPrice

MODELS = ("large", "small", "o1", "gpt-4o")


def write(folder: Path, text: str) -> Path:
    path = folder / "prices.yaml"
    path.write_text(text)
    return path


def test_it_takes_every_kind_of_price(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
large: {input: 2.5, output: 10, above: {"200000": {input: 5}}, tiers: {batch: 0.5}, currency: USD}
small: {gpu_hour: 2.49, prompt_tokens_per_second: 20000, completion_tokens_per_second: 900}
o1: {listed_as: o3}
""",
    )
    prices = read_price_file(path, MODELS)
    assert [type(price) for price in prices.values()] == [TokenPrice, GpuPrice, ListedPrice]
    large = prices["large"]
    assert isinstance(large, TokenPrice)
    assert (large.input, large.above["200000"].input, large.tiers) == (Decimal("2.5"), 5, {"batch": Decimal("0.5")})


def test_everything_wrong_with_it_is_said_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
gpt-4o: {input: -1, output: .nan, extra: 3}
nobody: {input: 1, output: 1}
smal: {input: 1, output: 1}
small: cheap
large: {input: 0.1234567, cached_input: EUR 3}
o1: {input: true, output: 1e30}
o1: {input: 1, output: 1, currency: EUR}
""",
    )
    with pytest.raises(ConfigError) as caught:
        read_price_file(path, MODELS)
    problems = {problem.path: problem for problem in caught.value.problems}
    assert set(problems) == {
        "gpt-4o.input", "gpt-4o.output", "gpt-4o.extra", "nobody", "smal", "small", "large.input", "large.output",
        "large.cached_input", "o1.currency", "o1",
    }  # fmt: skip
    assert problems["large.cached_input"].line == 5
    assert "US dollars per million tokens" in problems["large.cached_input"].message
    assert "Known here: input, output" in problems["gpt-4o.extra"].advice
    assert problems["smal"].advice == "Did you mean 'small'?"
    assert str(caught.value).startswith(f"{path} has 11 problems:\n  line 1     gpt-4o.")


@pytest.mark.parametrize("text", ["- a list", "a: [", "just text", "\tx: 1"])
def test_a_file_of_another_shape_is_a_problem(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"prices\.yaml has a problem"):
        read_price_file(write(tmp_path, text), MODELS)


def test_a_missing_file_is_a_problem_and_an_empty_one_is_not(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_price_file(tmp_path / "prices.yaml", MODELS)
    assert read_price_file(write(tmp_path, "# none yet\n"), MODELS) == {}
