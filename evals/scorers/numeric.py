r"""`numeric`: a good answer comes to `expected.number`, or to an `expected.answer` that is a number.

The answer's number is the one after "\boxed", "####" or "the answer is", or else its last one. It is compared as a
decimal, so that 0.1 + 0.2 is 0.3. A percentage is right as it is written and as a share: both "50%" and "0.5" are
0.5, since people mean either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation, localcontext
from typing import Any, ClassVar, Literal

from pydantic import Field

from evals.cases import Case
from evals.records import Answer, Score
from evals.scorers.port import Instruments, Settings

_REVISION = 1
_DIGITS = Context(prec=60)
"""Of a fraction or a product; a number that is written out is kept whole."""
_HUNDRED = Decimal(100)
_MARK = re.compile(
    r"####|\\boxed|\b(?:answer|result|respuesta|resultado)(?:\s+(?:correcta|correcto|final))?\s*"
    r"(?:\bis\b|\bequals\b|\bes\b|[:=≈])",
    re.IGNORECASE,
)
_SAID = 200
"""Characters after such a mark among which the number is looked for."""
_CLAUSE = re.compile(r"[\n;]|[.!?](?:\s|$)")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\{\s*([-−]?\d+)\s*\}\{\s*(\d+)\s*\}")
_VULGAR = {
    "½": "1/2",
    "⅓": "1/3",
    "⅔": "2/3",
    "¼": "1/4",
    "¾": "3/4",
    "⅛": "1/8",
    "⅜": "3/8",
    "⅝": "5/8",
    "⅞": "7/8",
}
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_POWER = re.compile("[⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_POWER_LENGTH = 5
"""Characters of an exponent: beyond that it is no number that anybody meant."""
_MINUSES = "-−–"
_BOTH = {".": r",'’\u00a0\u2009\u202f", ",": r".'’\u00a0\u2009\u202f "}
"""What may part thousands, by the decimal mark. A plain blank only beside a decimal comma: in English texts two
numbers stand side by side more often."""


class NumericSettings(Settings):
    kind: Literal["numeric"] = "numeric"
    tolerance: Decimal = Field(Decimal(0), ge=0, allow_inf_nan=False)
    """How far off the answer may be, in the number's own unit."""
    relative: Decimal = Field(Decimal(0), ge=0, allow_inf_nan=False)
    """The same as a share of the expected number; the larger of the two counts."""
    decimal: Literal[".", ","] = "."
    """What stands before the decimals in the answers."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written; `percent` is not taken out of `value`."""

    value: Decimal
    percent: bool = False
    written: str = ""

    def near(self, right: Number, tolerance: Decimal, relative: Decimal) -> bool:
        """Whether this is `right`, as it is written or, where one of the two is a percentage, as a share."""
        with localcontext(_DIGITS):
            own = {self.value, self.value / _HUNDRED} if self.percent and not right.percent else {self.value}
            wanted = {right.value, right.value / _HUNDRED} if right.percent and not self.percent else {right.value}
            return any(abs(a - b) <= max(tolerance, relative * abs(b)) for a in own for b in wanted)


class Numeric:
    kind: ClassVar[str] = "numeric"
    model: str = ""
    binary: bool = True

    def __init__(self, settings: NumericSettings, instruments: Instruments) -> None:
        self.name = settings.called
        self.version = settings.version(_REVISION)
        self._settings = settings

    def lacks(self, case: Case) -> str:
        if "number" in case.expected:
            if _whole(case.expected["number"]) is None:
                raise ValueError('expected.number: must be a number, or a text that is one, such as "1/3"')
            return ""
        return "`expected.number`" if _whole(case.expected.get("answer")) is None else ""

    async def score(self, case: Case, answer: Answer) -> Score:
        right = _whole(case.expected.get("number", case.expected.get("answer")))
        found = number_in(answer.text, self._settings.decimal)
        if right is None or found is None:
            return Score(value=0, why="there is no number in the answer")
        if found.near(right, self._settings.tolerance, self._settings.relative):
            return Score(value=1)
        return Score(value=0, why=f"comes to {found.written}, not {right.written}")


def number_in(text: str, decimal: Literal[".", ","] = ".") -> Number | None:
    """The number that an answer comes to; None where it has none."""
    plain = _plain(text)
    for mark in reversed(list(_MARK.finditer(plain))):
        said = _CLAUSE.split(plain[mark.end() : mark.end() + _SAID].lstrip(), maxsplit=1)[0]
        found = next(numbers_in(said.rpartition("=")[2], decimal), None)
        if found is not None:
            return found
    *_, last = None, *numbers_in(plain, decimal)
    return last


def numbers_in(plain: str, decimal: Literal[".", ","]) -> Iterator[Number]:
    for found in _PATTERNS[decimal].finditer(plain):
        parts = found.groupdict()
        try:
            with localcontext(_DIGITS):
                value = _value(parts, decimal)
        except ArithmeticError:
            continue  # divided by zero, or beyond all bounds
        yield Number(-value if parts["sign"] else value, parts["percent"] is not None, found[0].strip())


def _value(parts: dict[str, Any], decimal: str) -> Decimal:
    if parts["over"]:
        return Decimal(parts["mixed"] or 0) + Decimal(parts["upper"]) / Decimal(parts["over"])
    digits = re.sub(rf"[{_BOTH[decimal]}]", "", parts["whole"] or "0")
    fraction = (parts["part"] or parts["bare"] or "").removeprefix(decimal)
    power = (parts["e"] or parts["ten"] or "0").replace("−", "-")
    if len(power) > _POWER_LENGTH:
        raise InvalidOperation
    return Decimal(f"{digits}.{fraction or 0}e{power}")


def _pattern(decimal: str) -> re.Pattern[str]:
    mark, apart = re.escape(decimal), f"[{_BOTH[decimal]}]"
    return re.compile(
        rf"""(?<![\w^]) (?<!\d{mark})
        (?: (?P<sign>[{_MINUSES}])(?=[$€£¥₹]?[{mark}\d]) )? [$€£¥₹]? (?:(?<=[$€£¥₹])\s?)?
        (?: (?:(?P<mixed>\d+)\s+)? (?<!/)(?P<upper>\d+)\s?[/⁄]\s?(?P<over>\d+)(?![/⁄\d])
          | (?:(?P<whole>\d{{1,3}}(?:(?P<apart>{apart})\d{{2,3}}(?:(?P=apart)\d{{2,3}})*(?<=\d{{3}})(?!\d))|\d+)
               (?P<part>{mark}\d+)? | (?<!\w)(?P<bare>{mark}\d+))
            (?:e(?P<e>[-−+]?\d+)(?!\w)
              | \s?(?:[x×*·]|\\times|\\cdot)\s?10\s?\^\s?(?P<brace>\{{)?(?P<ten>[-−+]?\d+)(?(brace)\}}))?
        )
        (?P<percent>\s?\\?[%٪] | \s(?:percent|per\ cent|por\ ciento)\b)?""",
        re.VERBOSE | re.IGNORECASE,
    )


_PATTERNS = {".": _pattern("."), ",": _pattern(",")}


def _plain(text: str) -> str:
    """`text` with every fraction and power on the line, and without the marks of bold type and of code."""
    for sign, fraction in _VULGAR.items():
        text = text.replace(sign, f" {fraction}")
    text = _POWER.sub(lambda power: "^" + power[0].translate(_RAISED), text)
    return _LATEX_FRACTION.sub(r"\1/\2", text).replace("**", "").replace("`", "")


def _whole(value: Any) -> Number | None:
    """`value` as a number, where it is one and nothing else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = value.strip() if isinstance(value, str) else repr(value)
    found = list(numbers_in(_plain(text).strip(), "."))
    if len(found) == 1 and found[0].written == _plain(text).strip():
        return Number(found[0].value, found[0].percent, text)
    return None
