"""What a request costs, against figures worked out by hand from price lists."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import genai_prices
import pytest
from genai_prices.data import providers
from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, TimeOfDateConstraint
from hypothesis import given
from hypothesis import strategies as st

from contracts.money import QUANTUM, usd
from contracts.usage import TokenUsage
from ledger.prices import PriceList, PriceRule, PricesUnknown, TokenRates, listed_tariff, tariff_by_date

ROOT = Path(__file__).parents[2]
LISTED = f"genai-prices {genai_prices.__version__}"


def rule(
    model: str, listed_as: str = "", provider: str | None = None, rates: TokenRates | None = None
) -> PriceRule:
    return PriceRule(model=model, listed_as=listed_as or model, provider=provider, rates=rates)


def cost(listed_as: str, usage: TokenUsage, provider: str | None = None) -> Decimal:
    return PriceList([rule("m", listed_as, provider)]).cost("m", usage)


def test_a_models_own_price_by_hand() -> None:
    rates = TokenRates(
        input=Decimal("2.50"), output=Decimal(10), cached_input=Decimal("1.25"), cache_write=Decimal("3.125")
    )
    prices = PriceList([rule("large", rates=rates)])
    usage = TokenUsage(prompt=1000, completion=200, cached=300, cache_write=100, reasoning=50)
    # 600 * 2.50 + 300 * 1.25 + 100 * 3.125 + 200 * 10 = 1500 + 375 + 312.5 + 2000 millionths of a dollar
    assert prices.cost("large", usage) == Decimal("0.0041875")
    assert prices.priced_by("large") == "config"


def test_parts_that_are_left_out_cost_what_the_whole_does() -> None:
    prices = PriceList([rule("m", rates=TokenRates(input=Decimal(3), output=Decimal(5)))])
    usage = TokenUsage(prompt=10, cached=4, cache_write=3, completion=10, audio_prompt=2, audio_completion=1)
    assert prices.cost("m", usage) == Decimal("0.00008")


def test_one_token_at_the_finest_price_is_one_quantum() -> None:
    finest = TokenRates(input=Decimal("0.000001"), output=Decimal(0))
    assert PriceList([rule("m", rates=finest)]).cost("m", TokenUsage(prompt=1)) == QUANTUM


@pytest.mark.parametrize("source", ["cache", "none"])
def test_a_replay_costs_nothing(source: str) -> None:
    prices = PriceList([rule("m", rates=TokenRates(input=Decimal(3), output=Decimal(5)))])
    assert prices.cost("m", TokenUsage(prompt=10, completion=10, source=source)) == 0  # type: ignore[arg-type]
    assert prices.cost("m", TokenUsage(prompt=10, source="estimated")) == Decimal("0.00003")


def test_cached_tokens_of_a_listed_model_by_hand() -> None:
    usage = TokenUsage(prompt=1_000_000, completion=100_000, cached=400_000)
    # gpt-4o: $2.50 in, $1.25 cached, $10 out per million: 600k * 2.5 + 400k * 1.25 + 100k * 10
    assert cost("gpt-4o", usage) == Decimal("3.00")
    assert PriceList([rule("gpt-4o")]).priced_by("gpt-4o") == LISTED


def test_cache_writes_and_the_dearer_tier_by_hand() -> None:
    # claude-sonnet-4-5: $3 in, $15 out, $0.30 cached, $3.75 written (5 minutes), $6 (an hour); twice that for
    # everything but the output (1.5 times) once the prompt exceeds 200,000 tokens
    small = TokenUsage(prompt=200_000, completion=1000, cached=100_000, cache_write=50_000)
    assert cost("claude-sonnet-4-5", small) == Decimal("0.3825")  # 50k * 3 + 100k * 0.3 + 50k * 3.75 + 1k * 15
    large = TokenUsage(prompt=200_001, completion=1000, cached=100_000, cache_write=50_000)
    assert cost("claude-sonnet-4-5", large) == Decimal("0.757506")  # 50,001 * 6 + 60,000 + 375,000 + 22,500


@pytest.mark.parametrize(
    "raw",
    [
        {"cache_creation": {"ephemeral_1h_input_tokens": 30_000, "ephemeral_5m_input_tokens": 20_000}},
        {"prompt_tokens_details": {"cache_creation_token_details": {"ephemeral_1h_input_tokens": 30_000}}},
    ],
)
def test_writes_that_are_kept_for_an_hour_have_their_own_price(raw: dict[str, object]) -> None:
    usage = TokenUsage(prompt=50_000, cache_write=50_000, raw=raw)
    assert cost("claude-sonnet-4-5", usage) == Decimal("0.255")  # 20k * 3.75 + 30k * 6


def test_a_reported_split_that_makes_no_sense_is_not_believed() -> None:
    for odd in (-5, "many", 10**9, True):
        raw = {"cache_creation": {"ephemeral_1h_input_tokens": odd}}
        found = cost("claude-sonnet-4-5", TokenUsage(prompt=1000, cache_write=1000, raw=raw))
        assert found in (Decimal("0.00375"), Decimal("0.006"))


AUDIO = ModelPrice(
    input_mtok=Decimal(2),
    output_mtok=Decimal(8),
    cache_read_mtok=Decimal(1),
    input_audio_mtok=Decimal(40),
    cache_audio_read_mtok=Decimal(20),
    output_audio_mtok=Decimal(80),
)


def test_audio_by_hand() -> None:
    usage = TokenUsage(prompt=100, cached=10, audio_prompt=30, completion=50, audio_completion=20)
    # 60 * 2 + 10 * 1 + 30 * 40 + 30 * 8 + 20 * 80
    assert listed_tariff(AUDIO).dollars(usage) == Decimal("0.003170")


def test_tokens_that_are_cached_and_audio_are_billed_once() -> None:
    # 90 cached and 30 audio of 100 tokens: at least 20 are both; 70 * 1 + 20 * 20 + 10 * 40
    assert listed_tariff(AUDIO).dollars(TokenUsage(prompt=100, cached=90, audio_prompt=30)) == Decimal("0.000870")


@given(st.data())
def test_every_token_is_billed_exactly_once(data: st.DataObject) -> None:
    """With one price for all, any split of the tokens costs what their number does."""
    prompt, completion = data.draw(st.integers(0, 10**6)), data.draw(st.integers(0, 10**6))
    cached = data.draw(st.integers(0, prompt))
    usage = TokenUsage(
        prompt=prompt,
        completion=completion,
        cached=cached,
        cache_write=data.draw(st.integers(0, prompt - cached)),
        audio_prompt=data.draw(st.integers(0, prompt)),
        reasoning=data.draw(st.integers(0, completion)),
        audio_completion=data.draw(st.integers(0, completion)),
    )
    one = ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1))
    assert listed_tariff(one).dollars(usage) * 1_000_000 == prompt + completion


def test_a_fee_per_request_and_an_embedding_without_output() -> None:
    # perplexity sonar: $1 in, $1 out per million, and $12 per thousand requests at the latest listed price
    model = next(m for p in providers if p.id == "perplexity" for m in p.models if m.id == "sonar")
    assert isinstance(model.prices, ModelPrice)
    fee = model.prices.requests_kcount
    assert isinstance(fee, Decimal)
    assert fee > 0
    assert cost("sonar", TokenUsage(prompt=1000, completion=1000), "perplexity") == fee / 1000 + Decimal("0.002")
    # text-embedding-3-small: $0.02 per million
    assert cost("text-embedding-3-small", TokenUsage(prompt=1_000_000), "openai") == Decimal("0.02")


def test_prices_of_the_hour_follow_the_clock() -> None:
    now = datetime.now(UTC)
    night = ConditionalPrice(
        TimeOfDateConstraint(start_time=now.time().replace(tzinfo=UTC), end_time=now.time().replace(tzinfo=UTC)),
        prices=ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1)),
    )
    day = ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(9), output_mtok=Decimal(9)))
    always = ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(4), output_mtok=Decimal(4)))
    match = genai_prices.types.ClauseEquals("x")
    assert tariff_by_date(ModelInfo("x", match, prices=[day, night]))().input == 9, "an empty interval never holds"
    assert tariff_by_date(ModelInfo("x", match, prices=[day, night, always]))().input == 4, (
        "the last one that holds"
    )
    assert tariff_by_date(ModelInfo("x", match, prices=[day]))().input == 9


def comparable() -> list[tuple[str, ModelInfo]]:
    """Every listed model priced by kinds of tokens that a provider reports to Weir."""
    kinds = {"input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "requests_kcount"}
    return [
        (provider.id, model)
        for provider in providers
        for model in provider.models
        if isinstance(model.prices, ModelPrice)
        and model.prices.input_mtok is not None
        and {key for key in vars(model.prices) if not key.endswith("searches_kcount")} <= kinds
    ]


@pytest.mark.parametrize("prompt", [1000, 128_001, 200_001, 300_000])
def test_the_whole_list_costs_what_its_own_calculator_says(prompt: int) -> None:
    models = comparable()
    assert len(models) > 1000
    usage = TokenUsage(prompt=prompt, cached=prompt // 3, cache_write=prompt // 7, completion=500)
    theirs = genai_prices.Usage(
        input_tokens=usage.prompt,
        cache_read_tokens=usage.cached,
        cache_write_tokens=usage.cache_write,
        output_tokens=usage.completion,
    )
    for provider, model in models:
        assert isinstance(model.prices, ModelPrice)
        expected = model.prices.calc_price(theirs)["total_price"]
        assert usd(tariff_by_date(model)().dollars(usage)) == usd(expected), (provider, model.id)


def write(folder: Path, text: str) -> Path:
    path = folder / "prices.yaml"
    path.write_text(text)
    return path


def test_the_order_is_own_price_then_file_then_list(tmp_path: Path) -> None:
    file = write(tmp_path, "gpt-4o: {input: 1, output: 2}\nmine: {input: 7, output: 7, cached_input: 0.5}\n")
    own = TokenRates(input=Decimal(100), output=Decimal(100))
    prices = PriceList([rule("mine", rates=own), rule("gpt-4o"), rule("o1", "gpt-4o-mini")], file)
    usage = TokenUsage(prompt=1_000_000)
    assert [prices.cost(model, usage) for model in ("mine", "gpt-4o", "o1")] == [100, 1, Decimal("0.15")]
    assert [prices.priced_by(model) for model in ("mine", "gpt-4o", "o1")] == ["config", "prices.yaml", LISTED]


def test_a_files_numbers_are_taken_as_written(tmp_path: Path) -> None:
    file = write(tmp_path, 'm: {input: 0.1, output: "0.000003", cached_input: 1.1e-1, cache_write: null}\n')
    prices = PriceList([rule("m")], file)
    assert prices.cost("m", TokenUsage(prompt=3)) == Decimal("0.0000003")
    assert prices.cost("m", TokenUsage(completion=1)) == Decimal("0.000000000003")
    assert prices.cost("m", TokenUsage(prompt=1, cached=1)) == Decimal("0.00000011")
    assert prices.cost("m", TokenUsage(prompt=1, cache_write=1)) == Decimal("0.0000001")


def test_models_without_a_price_are_all_named_with_what_to_do() -> None:
    with pytest.raises(PricesUnknown) as caught:
        PriceList(
            [
                rule("gpt-4o"),
                rule("our-own"),
                rule("x", "gpt-4o", "no-such-provider"),
                rule("y", "gpt-4.1", "github-copilot"),
            ]
        )
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "models.our-own",
        "models.x",
        "models.y",
    ]
    first, second, third = caught.value.problems
    assert "'our-own'" in first
    assert "models.our-own.price" in first
    assert "price.listed_as" in first
    assert "'gpt-4o' of 'no-such-provider'" in second
    assert "no token price" in third, "listed, but without figures: that must not become zero"


def test_everything_wrong_with_a_file_is_said_at_once(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
gpt-4o: {input: -1, output: .nan, extra: 3}
nobody: {input: 1, output: 1}
small: cheap
large: {input: 0.1234567, cached_input: free}
o1: {input: true, output: 1e30}
""",
    )
    with pytest.raises(PricesUnknown) as caught:
        PriceList([rule(name, "gpt-4o") for name in ("gpt-4o", "small", "large", "o1")], file)
    text = "\n".join(caught.value.problems)
    wanted = "gpt-4o.input gpt-4o.output gpt-4o.extra nobody small large.output large.input large.cached_input"
    for place in [*wanted.split(), "o1.input", "o1.output"]:
        assert f"{file}: {place}: " in text
    assert len(caught.value.problems) == 10


@pytest.mark.parametrize("text", ["- a list", "a: [", "just text", "\tx: 1"])
def test_a_file_of_another_shape_is_a_problem(tmp_path: Path, text: str) -> None:
    with pytest.raises(PricesUnknown, match=r"prices\.yaml"):
        PriceList([rule("gpt-4o")], write(tmp_path, text))


def test_a_missing_file_is_a_problem_and_an_empty_one_is_not(tmp_path: Path) -> None:
    with pytest.raises(PricesUnknown, match="no such price file"):
        PriceList([rule("gpt-4o")], tmp_path / "prices.yaml")
    assert PriceList([rule("gpt-4o")], write(tmp_path, "# none yet\n")).priced_by("gpt-4o") == LISTED


def test_the_list_is_not_loaded_where_every_price_is_stated() -> None:
    script = """
import sys
from decimal import Decimal
from ledger.prices import PriceList, PriceRule, TokenRates
PriceList([PriceRule(model="m", listed_as="m", rates=TokenRates(input=Decimal(1), output=Decimal(1)))])
assert "genai_prices" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
