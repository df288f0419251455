"""Takes out of traffic what tells who somebody is, before it becomes a case.

The non-obvious decision: one value has one placeholder within a case, in all of its turns and its expectation
(`<EMAIL_1>`), so that "is it the same address as before?" stays a question; and none across cases, so that nobody
is followed through a suite.

Found are e-mail addresses, telephone numbers (of the regions asked for, and any with a country code), card and
bank account numbers by their check digits, identity numbers of a dozen countries, addresses on the network, web
addresses that carry somebody's data, order, account and parcel numbers, and names where they are announced ("my
name is", "me llamo", a signature), from then on wherever the case repeats them. NOT found are names that just stand
there, street addresses, dates of birth, health, and whatever only somebody who knows the business would recognise:
people must read the cases before others do. Prices, times, dates, amounts and product names stay; a word after
"soy" that has a capital is taken for a name.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from ipaddress import ip_address
from typing import Any, NamedTuple

REGIONS = ("US", "GB", "ES", "MX")
"""Where telephone numbers without a country code are from, where nobody says."""
_IDENTITIES = (
    "us.ssn", "es.dni", "es.nie", "gb.nhs", "it.codicefiscale", "fr.nir", "mx.curp", "mx.rfc", "br.cpf",
    "in_.pan", "in_.aadhaar", "ca.sin", "nl.bsn", "pl.pesel", "pt.cc", "cl.rut", "ch.ssn",
)  # fmt: skip
"""Modules of python-stdnum; each checks form and, where there are any, check digits."""

_EMAIL = re.compile(r"[^\s@<>()\[\],;:\"“”]{1,64}@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"'()\[\]{}]+[^\s<>\"'()\[\]{}.,;:!?]")
_PERSONAL_URL = re.compile(r"//[^/]*@|\?.|#.*[=@\d]|/[^/]*\d{5}|/[\w-]*\d[\w-]{18,}")
_IBAN = re.compile(r"\b[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{1,4}){3,8}\b")
_CARD = re.compile(r"(?<![\d.,])\d(?:[ -]?\d){12,18}(?![\d])")
_IDENTITY = re.compile(r"(?<![\w.-])(?:[A-Za-z0-9]+(?:[.-][A-Za-z0-9]+)*|\d+(?: \d+)+)(?!\w)")
_NATIONAL_INSURANCE = re.compile(r"\b[A-CEGHJ-PR-TW-Z]{2}(?: ?\d\d){3} ?[A-D]\b")
"""British, which has no check digit."""
_IP = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w:]|\.\d)")
_MAC = re.compile(r"\b[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}\b")
_UUID = re.compile(r"\b[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}\b")
_DATE = re.compile(r"(?<![\w.-])(?:\d{4}-\d\d-\d\d|\d{1,2}([-/.])\d{1,2}\1(?:\d\d){1,2})(?![\d-])")
_LONG = re.compile(r"(?<![\w.,$€£%-])#?(?:[A-Za-z]{1,4}-?)?\d(?:-?\d){5,}(?![\w]|[.,]\d|\s?[€%])")
_HASHED = re.compile(r"(?<!\w)#\d{4,}\b")
_PARCEL = re.compile(r"\b(?=(?:[A-Z]*\d){5})(?=\w*[A-Z])[A-Z0-9]{8,}\b")
_NAMED_NUMBER = re.compile(
    r"\b(?:order|account|invoice|ticket|tracking|booking|reservation|customer|client|policy|case|reference|serial"
    r"|pedido|cuenta|factura|seguimiento|reserva|cliente|póliza|referencia|serie)"
    r"(?:\s+(?:number|no\.?|id|code|número|num\.?|nº|es|is|was)){0,3}\s*[:#]?\s*"
    r"(?P<value>(?=[\w-]*\d[\w-]*\d[\w-]*\d[\w-]*\d)[A-Za-z0-9][\w-]{3,})",
    re.IGNORECASE,
)

_CAPITAL = r"[A-ZÀ-ÖØ-Þ](?:[\w'’-]*\w|\.)"
_PEOPLE = rf"(?P<value>{_CAPITAL}(?:[ \t]+(?:(?:de|del|la|van|von|da|dos)[ \t]+)*{_CAPITAL}){{0,3}})"
_ANNOUNCED = re.compile(
    rf"\b(?i:my (?:full )?name is|my name['’]s|the name['’]s|me llamo)\s+{_PEOPLE}"
    rf"|\b(?i:mi nombre (?:completo )?es|se llama|soy)\s+{_PEOPLE.replace('value', 'valor')}"
)
_INTRODUCED = re.compile(
    rf"\b(?i:i['’]m|i am|this is|habla|le escribe)\s+(?P<value>{_CAPITAL}(?:[ \t]+{_CAPITAL}){{1,2}})"
)
_SIGNED = re.compile(
    rf"\b(?i:(?:best|kind|warm)?\s*regards|sincerely|yours truly|cheers|thanks|thank you|gracias|saludos"
    rf"|un saludo|atentamente|cordialmente)[,.!]?[ \t]{{0,9}}[\n,]\s{{0,9}}[-–—]{{0,3}}\s{{0,9}}{_PEOPLE}[.!]?\s*$"
)
_ADDRESSED = re.compile(
    rf"^\s*(?i:dear|estimad[oa]|querid[oa])\s+(?:(?i:mr|mrs|ms|dr|sr|sra)\.?\s+)?{_PEOPLE}\s*[,:]"
)
_WHISPERED = re.compile(
    r"\b(?:my name is|me llamo|mi nombre es)\s+(?P<value>[^\W\d_]{2,}(?:\s+[^\W\d_]{2,})?)\s*(?:$|[.,;!?\n])"
)
_NO_NAME = frozenset(  # a list of words is read more easily as a text
    """not on in the wrong spelled misspelled incorrect correct different missing still a an my new old mal
    incorrecto correcto el la otro distinto client customer cliente""".split()  # noqa: SIM905
)
_TITLES = frozenset(("Mr", "Mrs", "Ms", "Dr", "Sr", "Sra", "Don", "Doña"))


class Found(NamedTuple):
    """Where in a text something is, of which kind, and what it is regardless of how it is written."""

    start: int
    end: int
    kind: str
    value: str


@dataclass(slots=True)
class Cover:
    """The placeholders of one case. Show it all of the case's texts first (`learn`), then have them hidden.

    `keep` are texts that are nobody's secret, such as the business's own addresses and products, in lower case.
    `counts` says how often each kind was hidden.
    """

    regions: Sequence[str] = REGIONS
    keep: frozenset[str] = frozenset()
    counts: Counter[str] = field(default_factory=Counter)
    _names: dict[str, str] = field(default_factory=dict)
    _placeholders: dict[tuple[str, str], str] = field(default_factory=dict)

    def learn(self, value: Any) -> None:
        """Take note of the names that the texts in `value`, of JSON's types, announce."""
        for text in _texts(value):
            for name in _names_in(text):
                if name.casefold() not in self.keep:
                    for word in (name, *name.split()):
                        if word == name or (len(word) > 2 and word[0].isupper()):
                            self._names.setdefault(word.rstrip("."), name)

    def hide(self, value: Any) -> Any:
        """`value`, of JSON's types, with placeholders. Keys stay."""
        if isinstance(value, str):
            return self._hidden(value)
        if isinstance(value, Mapping):
            return {key: self.hide(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide(one) for one in value]
        return value

    def _hidden(self, text: str) -> str:
        parts: list[str] = []
        end = 0
        for found in _apart(self._found_in(text)):
            parts += [text[end : found.start], self._placeholder(found)]
            end = found.end
        return "".join([*parts, text[end:]])

    def _found_in(self, text: str) -> Iterator[Found]:
        """What is more telling first."""
        for found in _numbered(text, tuple(self.regions)) if _worth_a_look(text) else ():
            if text[found.start : found.end].casefold() not in self.keep:
                yield found
        if self._names:
            known = "|".join(re.escape(name) for name in sorted(self._names, key=len, reverse=True))
            for match in re.finditer(rf"(?<!\w)(?:{known})(?!\w)", text):
                yield Found(*match.span(), "NAME", self._names[match[0]])

    def _placeholder(self, found: Found) -> str:
        self.counts[found.kind] += 1
        number = 1 + sum(kind == found.kind for kind, _ in self._placeholders)
        return self._placeholders.setdefault((found.kind, found.value), f"<{found.kind}_{number}>")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _names_in(text: str) -> Iterator[str]:
    for pattern in (_ANNOUNCED, _INTRODUCED, _SIGNED, _ADDRESSED):
        for match in pattern.finditer(text):
            said = next(found for found in match.groups() if found)
            words = [word.rstrip(".") for word in said.split()]
            if words[0].casefold() not in _NO_NAME and words[0] not in _TITLES:
                yield " ".join(words)
    if text.islower():  # somebody who writes no capitals has none in the name either
        for match in _WHISPERED.finditer(text):
            if match["value"].split()[0] not in _NO_NAME:
                yield match["value"]


def _apart(found: Iterable[Found]) -> list[Found]:
    """Those that do not overlap with an earlier one, from left to right."""
    taken: list[Found] = []
    for one in found:
        place = bisect(taken, one)
        before, after = taken[place - 1 : place], taken[place : place + 1]
        if all(one.start >= other.end for other in before) and all(one.end <= other.start for other in after):
            taken.insert(place, one)
    return taken


def _worth_a_look(text: str) -> bool:
    return "@" in text or "://" in text or "www." in text or ":" in text or sum(map(str.isdigit, text)) >= 4


def _numbered(text: str, regions: tuple[str, ...]) -> Iterator[Found]:
    for match in _URL.finditer(text):
        if _PERSONAL_URL.search(match[0]):
            yield Found(*match.span(), "URL", match[0])
    for match in _EMAIL.finditer(text):
        yield Found(*match.span(), "EMAIL", match[0].casefold())
    for pattern in (_MAC, _IP):
        for match in pattern.finditer(text):
            if pattern is _MAC or _is_ip(match[0]):
                yield Found(*match.span(), "IP", match[0].casefold())
    for match in _UUID.finditer(text):
        yield Found(*match.span(), "NUMBER", match[0].casefold())
    yield from _checked(text)
    yield from _telephones(text, regions)
    dates = [match.span() for match in _DATE.finditer(text)]
    for found in (*_identified(text), *_orders(text)):
        if not any(found.start < end and found.end > start for start, end in dates):
            yield found


def _orders(text: str) -> Iterator[Found]:
    for pattern in (_NAMED_NUMBER, _LONG, _HASHED, _PARCEL):
        for match in pattern.finditer(text):
            start, end = match.span("value") if "value" in pattern.groupindex else match.span()
            yield Found(start, end, "NUMBER", text[start:end].lstrip("#").casefold())


def _checked(text: str) -> Iterator[Found]:
    """What has check digits, or a form of its own."""
    from stdnum import iban, luhn

    for match in _IBAN.finditer(text):
        part = match[0]
        while len(part) > 14:
            if iban.is_valid(part):
                yield Found(match.start(), match.start() + len(part), "IBAN", iban.compact(part))
                break
            # What follows may look like more of it.
            part = re.split(r"[ -](?=[^ -]*$)", part)[0] if re.search("[ -]", part) else ""
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if luhn.is_valid(digits):
            yield Found(*match.span(), "CARD", digits)


def _identified(text: str) -> Iterator[Found]:
    for match in _NATIONAL_INSURANCE.finditer(text):
        yield Found(*match.span(), "ID", match[0].replace(" ", ""))
    for match in _IDENTITY.finditer(text):
        bare = re.sub(r"[ .-]", "", match[0])
        # Bare digits are an order number as likely, and are hidden as one.
        telling = 8 <= len(bare) <= 18 and any(map(str.isdigit, bare)) and not match[0].isdigit()
        if telling and any(module.is_valid(match[0]) for module in _identities()):
            yield Found(*match.span(), "ID", bare.upper())


@cache
def _identities() -> list[Any]:
    return [import_module(f"stdnum.{name}") for name in _IDENTITIES]


def _telephones(text: str, regions: tuple[str, ...]) -> Iterator[Found]:
    import phonenumbers

    if sum(map(str.isdigit, text)) < 7:
        return
    for region in regions:
        for match in phonenumbers.PhoneNumberMatcher(text, region, leniency=phonenumbers.Leniency.VALID):
            number = phonenumbers.format_number(match.number, phonenumbers.PhoneNumberFormat.E164)
            yield Found(match.start, match.end, "PHONE", number)


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return len(text) > 3
