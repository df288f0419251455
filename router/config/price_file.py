"""The price file that `ledger.prices` names: models by name, each priced as `models.NAME.price` would be.

It is judged by the same sections as the configuration, so that both take the same and refuse the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from router.config.document import Unparsable, parse
from router.config.prices import Price
from router.config.problems import ConfigError, Place, Problem, did_you_mean, dotted, schema_problems
from router.config.values import Name

_Prices = dict[Name, Price]
_PRICES: TypeAdapter[_Prices] = TypeAdapter(_Prices)


def read_price_file(path: Path, models: Collection[str]) -> Mapping[str, Price]:
    """Prices by model, of which `models` knows each. Raises ConfigError with every problem."""
    try:
        document = parse(path.read_bytes())
    except OSError as error:
        raise _refused(path, f"the price file cannot be read: {error.strerror}") from error
    except Unparsable as error:
        raise _refused(path, error.message, error.line) from error
    if document.data is None:
        return {}
    if not isinstance(document.data, dict):
        raise _refused(path, "must map models to their prices, such as `large: {input: 2.5, output: 10}`")
    prices, found = _validated(document.data)
    found += [(place, "is given twice", f"The first is on line {line}.") for place, line in document.twice]
    found += [
        ((name,), "is not one of `models`", did_you_mean(str(name), list(models)))
        for name in document.data
        if name not in models
    ]
    if found:
        problems = [Problem(dotted(place), document.line(place), told, advice) for place, told, advice in found]
        raise ConfigError(path, sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0))
    return prices


def _validated(data: Any) -> tuple[Mapping[str, Price], list[tuple[Place, str, str]]]:
    try:
        return _PRICES.validate_python(data), []
    except ValidationError as error:
        return {}, list(schema_problems(error, data, _Prices))


def _refused(path: Path, message: str, line: int | None = None) -> ConfigError:
    return ConfigError(path, [Problem("", line, message)])
