"""What an `editor` model writes: instructions, as a large model does that is asked to improve them.

It reads the present instructions and what went wrong, and adds, rewords or removes a sentence or two. The
non-obvious decision: it has the very ideas that an `attentive` model understands, bad ones among them, and draws
them by a hash of the request, those more often that would help with what it reads. So it is right more often than
not and far from always: its instructions have to be tried before they are believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from random import Random
from typing import Any, get_args

import orjson

from router.upstreams.scripted_attention import attention
from router.upstreams.scripted_demonstrations import contact_in
from router.upstreams.scripted_instructions import INSTRUCTIONS, OTHER, Instruction
from router.upstreams.scripted_knowledge import Entry, Knowledge

_COMPLAINTS: Mapping[Instruction, tuple[str, ...]] = {
    "language": (
        "The question is in Spanish and the answer in English.",
        "¿Cómo puedo cambiar la dirección de mi cuenta?",
        "Quiero saber qué hago con mi pedido, por favor.",
        "does not say: 30 minutos; 12 caracteres; 48 horas antes",
        "It answers in the wrong language.",
        "Yes, that should normally be possible.",
    ),
    "exactness": (
        "does not say: 30 minutes; 12 characters; 2 years",
        "does not say: $8; 45 days; 48 hours",
        "Within some days, at most some a week. It costs some and takes some minutes.",
        "The price is missing, or it is vague.",
    ),
    "refusal": (
        "does not say: help@shop.example",
        "Yes, that should normally be possible.",
        "It makes up an answer that nobody knows, and names no address.",
    ),
    "brevity": ("The answer is too long.", "It has more words than it may have.", "It goes on and on."),
    "question": ("does not say: ?", "can you stop it", "It answers a message that could mean anything."),
}
"""How it sounds where an instruction is missing: questions, answers, and what is said of them."""
_OPENINGS = (
    "You answer questions of customers.",
    "You are the assistant of a company, and customers write to you.",
    "Help the customers who write to you.",
)
_REMARKS = (
    "Customers ask short questions, and an answer has to state certain facts.",
    "Most questions are about one matter, and the better answers are complete.",
    "The answers differ in what they leave out.",
)
"""What it says where something else than instructions is asked for."""
_RESEMBLES = 0.3
"""From where on a sentence of a request is taken for a complaint."""
_READ = 3.0
"""How much likelier than any other an idea is that answers all complaints."""
_STRAY = 2.0
"""Weight of the bad ideas together, beside 1 for each instruction that nothing is said about."""
_LIKELY = 0.2
"""Share from which on a sentence is taken to be an instruction."""
_SAID = 0.8
"""How much less likely it is to say again what is said clearly."""
_SECOND, _REWORDS, _REMOVES = 0.3, 0.15, 0.1
"""Shares of its answers that have two ideas, that say in other words what was said, and that drop a sentence."""
_MAX_LETTERS = 40_000
"""Of a request that are searched for complaints."""

_FENCE = "```"
_FENCED = re.compile(r"^```\w*\n(.*?)\n```", re.DOTALL | re.MULTILINE)
_SECTION = re.compile(r"^\[\[ ## (\w+) ## \]\][ \t]*\n?(.*?)(?=^\[\[ ## |\Z)", re.DOTALL | re.MULTILINE)
_PRESENT = re.compile(r"^(?:(?:basic|current|present|original)_.*|instructions?|prompt)$")
_WANTED = re.compile(
    r"`(?:\[\[ ## )?(\w+)(?: ## \]\])?`(?: \(must be formatted as a valid Python (.*?)\)(?=[,.]))?"
)
_WANTS_FIELDS = re.compile(r"^Respond with (?:the corresponding output fields|a JSON object).*$", re.MULTILINE)
_SHORTEN = re.compile(
    r"\bshorten|\bmake\b.{0,60}\bshorter\b|\bshorter (?:prompt|version|wording|instructions)", re.I
)
_PIECE = re.compile(r"(?<=[.!?])\s+|\n\s*\n|\n(?=\s*(?:[-*•]|#+|\d+[.)])\s)")
_MARK = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")
_HEARD = re.compile(r"(?<=[.!?])\s+|\n")
_SLOT = "{{"


@dataclass(frozen=True, slots=True)
class _Request:
    """`asked` is the last message; `fields` are those it asks for, with their Python types."""

    asked: str
    present: str
    fields: Mapping[str, str]
    as_json: bool


def edited(body: Mapping[str, Any], asked: str) -> str:
    """The answer to the request `body`, whose last message of a user is `asked`: in the form that it asks for.

    The same for the same messages, temperature and seed.
    """
    what = [body.get(name) for name in ("messages", "prompt", "temperature", "seed")]
    draw = Random(blake2b(orjson.dumps(what), digest_size=8).digest())  # noqa: S311 - not for secrets
    request = _read(body, asked)
    if not request.fields:
        text = _instructions(request, draw)
        return f"{_FENCE}\n{text}\n{_FENCE}" if _FENCE in asked else text
    values = {name: _value(name, kind, request, draw) for name, kind in request.fields.items()}
    if request.as_json:
        return orjson.dumps(values).decode()
    shown = {name: text if isinstance(text, str) else orjson.dumps(text).decode() for name, text in values.items()}
    return "\n\n".join([*(f"[[ ## {name} ## ]]\n{text}" for name, text in shown.items()), "[[ ## completed ## ]]"])


def _read(body: Mapping[str, Any], asked: str) -> _Request:
    wanted = _WANTS_FIELDS.search(asked)
    fields = {name: kind for name, kind in _WANTED.findall(wanted[0]) if name != "completed"} if wanted else {}
    as_json = bool(wanted and "JSON object" in wanted[0])
    form = body.get("response_format") or {}
    if not fields and form.get("type") == "json_schema":
        properties = ((form.get("json_schema") or {}).get("schema") or {}).get("properties") or {}
        kinds = {"object": "dict", "array": "list", "boolean": "bool", "integer": "int", "number": "float"}
        fields = {name: kinds.get(str(part.get("type")), "str") for name, part in properties.items()}
        as_json = True
    named = [text.strip() for name, text in _SECTION.findall(asked) if _PRESENT.match(name)]
    fenced = _FENCED.search(asked)
    present = named[0] if named else fenced[1].strip() if fenced and not fields else ""
    return _Request(asked, present, fields, as_json)


def _value(name: str, kind: str, request: _Request, draw: Random) -> Any:
    """What a field called `name` of the Python type `kind` gets."""
    if re.search("instruction|prompt", name):
        text = _instructions(request, draw)
    elif re.search("advice|rule|tip|feedback", name):
        text = " ".join(_ideas(request, draw))
    else:
        text = draw.choice(_REMARKS)
    if kind.startswith("dict"):
        listed = re.search(
            r"^\[\[ ## module_names ## \]\]\s*(\[.*?\])\s*$", request.asked, re.DOTALL | re.MULTILINE
        )
        names = re.findall(r"[\"'](\w[\w.\[\]]*)[\"']", listed[1]) if listed else []
        return dict.fromkeys(names or ["self"], text)
    if kind.startswith("list"):
        return [text]
    simple: dict[str, Any] = {"bool": True, "int": 1, "float": 0.5}
    return simple.get(kind, text)


def _instructions(request: _Request, draw: Random) -> str:
    present = request.present
    if not present:
        return "\n".join([draw.choice(_OPENINGS), *_ideas(request, draw)])
    if _SHORTEN.search(request.asked.replace(present, "")):
        spare = [piece for piece in _pieces(present)[1:] if _kind(piece) is None and not _irreplaceable(piece)]
        return _without(present, draw.sample(spare, min(len(spare), draw.randint(1, 2))))
    ideas = _ideas(request, draw)
    move = draw.random()
    if move < _REWORDS:
        old = [piece for piece in _pieces(present)[1:] if _kind(piece) == _kind(ideas[0]) and _kind(piece)]
        present = _without(present, [piece for piece in old if not _irreplaceable(piece)])
    elif move < _REWORDS + _REMOVES:
        others = [piece for piece in _pieces(present)[1:] if not _irreplaceable(piece)]
        present = _without(present, draw.sample(others, min(1, len(others))))
    bullet = "- " if "\n- " in "\n" + present.rpartition("\n\n")[2] else ""
    return "\n".join([present, *(bullet + idea for idea in ideas)])


def _ideas(request: _Request, draw: Random) -> list[str]:
    """One sentence, or two, that would help with what is complained of; or would not."""
    weights = _weights(request)
    address = "" if contact_in(request.present) else contact_in(request.asked)
    chosen: list[str] = []
    for _ in range(1 + (draw.random() < _SECOND)):
        name = draw.choices(list(weights), list(weights.values()))[0]
        wordings = OTHER if name is None else INSTRUCTIONS[name]
        idea = draw.choice([text for text in wordings if text not in request.present] or wordings)
        if name == "refusal" and address:
            idea += f" Ours is {address}."
        chosen.append(idea)
        weights[name] = 0
    return chosen


def _weights(request: _Request) -> dict[Instruction | None, float]:
    """How likely each idea is; None: something else than an instruction."""
    heard: dict[str, float] = dict.fromkeys(get_args(Instruction), 0.0)
    for piece in dict.fromkeys(_HEARD.split(request.asked.replace(request.present, "")[:_MAX_LETTERS])):
        for name, fit in _complaints().fits(piece).items():
            heard[name] += fit if fit >= _RESEMBLES else 0.0
    total = sum(heard.values()) or 1.0
    said = attention(request.present).shares
    weights: dict[Instruction | None, float] = {
        name: (1 + _READ * heard[name] / total) * (1 - _SAID * said[name]) for name in said
    }
    return {**weights, None: _STRAY}


@lru_cache(maxsize=1)
def _complaints() -> Knowledge:
    return Knowledge([Entry(name, texts, "") for name, texts in _COMPLAINTS.items()])


def _kind(sentence: str) -> Instruction | None:
    """The instruction that `sentence` resembles most, or None."""
    shares = attention(sentence).shares
    name = max(shares, key=shares.__getitem__)
    return name if shares[name] >= _LIKELY else None


def _irreplaceable(sentence: str) -> bool:
    """Whether it has what nobody could write again: a slot, an address or a heading."""
    return _SLOT in sentence or sentence.lstrip().startswith("#") or bool(contact_in(sentence))


def _pieces(text: str) -> list[str]:
    """The sentences of `text`, without the marks of lists."""
    pieces = [_MARK.sub("", piece) for piece in _PIECE.split(text)]
    return [piece for piece in pieces if piece.strip()]


def _without(text: str, pieces: Iterable[str]) -> str:
    for piece in pieces:
        text = re.sub(re.escape(piece) + "[ \t]*", "", text, count=1)
    lines = [line.rstrip() for line in text.splitlines() if not _MARK.fullmatch(line + " ")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
