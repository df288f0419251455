"""Makes what can be made of the hand-written files: knowledge.jsonl, log.jsonl and the cases of both suites.

    python examples/support/build.py            # writes them beside this file
    python examples/support/build.py --out DIR  # somewhere else

No sentence is made up here: the script only arranges what stands in intents.jsonl, followups.jsonl, hard.jsonl
and suite/phrasings.jsonl. Chance comes from one seeded generator, of which only `random()` is used, since that is
the same in every Python version: the same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

HERE = Path(__file__).resolve().parent
SEED = 20261003
START = datetime(2026, 10, 5, 7, tzinfo=UTC)
"""Midnight in Tacoma, a Monday."""
DAYS = 14
SINGLES, CONVERSATIONS, HARD, TICKETS = 310, 92, 86, 16
SPANISH = 0.2
GLOBEX = 0.35
CLICKED = 0.48
"""Share of customers who click a question that the chat suggests (an intent's first phrasing) and type nothing."""

POPULARITY = """track_order skip_delivery late_delivery reset_password cancel_subscription pause_subscription
change_delivery_date descale_brewer connect_wifi return_refund change_address shipping_costs change_coffee
failed_payment update_payment_card error_codes missing_package refund_status damaged_item warranty_claim change_plan
promo_code account_locked exchange_item get_invoice cancel_order change_frequency gift_subscription
resume_subscription double_charge shipping_regions lost_two_factor_device enable_two_factor unsubscribe_marketing
change_email referral_credit factory_reset disable_two_factor delete_account download_data""".split()  # noqa: SIM905 - forty quoted words are hard to read
"""Intents, the commonest first."""

HOURS = (1, 1, 0.5, 0.5, 0.5, 1, 3, 6, 9, 10, 9, 8, 8, 7, 6, 6, 6, 7, 8, 9, 8, 6, 4, 2)
"""How busy each hour of the day is, in Tacoma."""
WEEKDAYS = (1.3, 1.1, 1.0, 1.0, 1.0, 0.8, 0.6)

BURSTS = (
    # hours after START, how long, visits, what about: a carrier's bad day, a firmware update, a bank's bad morning
    (3 * 24 + 9, 3.0, 26, ("late_delivery", "track_order")),
    (8 * 24 + 6, 4.0, 18, ("connect_wifi", "error_codes")),
    (10 * 24 + 8, 2.0, 14, ("failed_payment", "double_charge")),
)

GREETINGS = {"en": ("Hi, ", "Hello! ", "Hey, ", "Good morning, "), "es": ("Hola, ", "Buenas, ", "Buenos días, ")}
THANKS = {"en": (" Thanks!", " Thank you.", " Thanks in advance!"), "es": (" Gracias.", " ¡Gracias!")}
TURNS_TO = {
    "en": ("Ok, thanks. Another question: ", "Great. One more thing: ", "Got it. And something else: "),
    "es": ("Gracias. Otra pregunta: ", "Perfecto. Una cosa más: "),
}
CLIENT_PROMPT = {
    "role": "system",
    "content": "You are the voice of the Tolvana app. Answer in one or two short sentences that can be read aloud.",
}
"""What the app, which talks to the route `auto`, sends along."""

UNANSWERABLE = ("out_of_scope", "adversarial")
"""Kinds of questions that no help page answers. What is ambiguous may well be answered."""
HARD_OF_A_KIND = 2
"""Hard questions of each other kind in the suite about the help pages."""

Row = dict[str, Any]
Item = TypeVar("Item")


class Chance:
    """Draws from a list: evenly, by weight, or by rank."""

    def __init__(self, seed: int) -> None:
        self._next = random.Random(seed).random  # noqa: S311 - reproducible on purpose

    def below(self, share: float) -> bool:
        return self._next() < share

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self._next()

    def one(self, items: Sequence[Item], weights: Sequence[float] | None = None) -> Item:
        point = self._next() * (sum(weights) if weights else len(items))
        for item, weight in zip(items, weights or [1.0] * len(items), strict=True):
            point -= weight
            if point < 0:
                return item
        return items[-1]

    def ranked(self, items: Sequence[Item], steepness: float) -> Item:
        """Zipf: the item at rank r, from 1, weighs r ** -steepness."""
        return self.one(items, [(rank + 1) ** -steepness for rank in range(len(items))])

    def shuffled(self, items: Iterable[Item]) -> list[Item]:
        return [item for _, item in sorted(((self._next(), item) for item in items), key=lambda pair: pair[0])]


@dataclass(frozen=True)
class Turn:
    """What a customer says, and what the assistant answers to it."""

    intent: str
    text: str
    answer: str


@dataclass(frozen=True)
class Visit:
    """A customer's conversation with one tenant's chat, from its first message."""

    at: datetime
    tenant: str
    route: str
    lang: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Sources:
    """The hand-written files."""

    intents: list[Row]
    followups: list[Row]
    hard: list[Row]
    unseen: list[Row]
    by_name: dict[str, Row] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {row["intent"]: row for row in self.intents})

    @classmethod
    def read(cls, folder: Path) -> Sources:
        names = ("intents", "followups", "hard", "suite/phrasings")
        return cls(*(_read(folder / f"{name}.jsonl") for name in names))

    def answer(self, intent: str, lang: str) -> str:
        answer: str = self.by_name[intent]["answer" if lang == "en" else "answer_es"]
        return answer

    def phrasings(self, intent: str, lang: str) -> list[str]:
        return [row["text"] for row in self.by_name[intent]["phrasings"] if row["lang"] == lang]

    def followups_of(self, intent: str, lang: str) -> list[Row]:
        return [row for row in self.followups if row["intent"] == intent and row["lang"] == lang]


def knowledge(sources: Sources) -> list[Row]:
    """What the stand-in answers from: entries per intent and language, follow-up, and hard question with an answer.

    A follow-up that is asked in several conversations ("And how long does that take?") is told apart by their first
    question, which is put before it.
    """
    entries = [
        {
            "id": f"{row['intent']}.{lang}",
            "questions": sources.phrasings(row["intent"], lang),
            "answer": sources.answer(row["intent"], lang),
        }
        for row in sources.intents
        for lang in ("en", "es")
    ]
    asked = Counter(row["text"] for row in sources.followups)
    numbers: Counter[str] = Counter()
    for row in sources.followups:
        numbers[row["intent"]] += 1
        texts = [row["text"]]
        if asked[row["text"]] > 1:
            texts = [f"{first} {row['text']}" for first in sources.phrasings(row["intent"], row["lang"])[:3]]
        name = f"{row['intent']}.follow-{numbers[row['intent']]}"
        entries.append({"id": name, "questions": texts, "answer": row["answer"]})
    for number, row in enumerate(sources.hard, 1):
        if "answer" in row:
            entries.append({"id": f"hard.{number:02}", "questions": [row["text"]], "answer": row["answer"]})
    return entries


def cases(sources: Sources) -> list[Row]:
    """The eval suite: every unseen phrasing as a case of its own."""
    numbers: Counter[str] = Counter()
    openers = {(row["intent"], row["lang"]): row["text"] for row in reversed(sources.unseen) if "intent" in row}
    made = []
    for row in sources.unseen:
        group = row.get("intent") or row.get("follows") or row["kind"]
        kind = "follow" if "follows" in row else "ask"
        numbers[f"{group}-{kind}"] += 1
        name = f"{group}-{kind}-{numbers[f'{group}-{kind}']}"
        messages = [{"role": "user", "content": row["text"]}]
        if "follows" in row:
            said = {"role": "user", "content": openers[group, row["lang"]]}
            heard = {"role": "assistant", "content": sources.answer(group, row["lang"])}
            messages = [said, heard, *messages]
        answerable = row.get("kind") not in ("out_of_scope", "adversarial", "ambiguous")
        facts = row["facts"] if "facts" in row else sources.by_name[group]["facts"]
        made.append(
            {
                "id": name,
                "messages": messages,
                "expected": {"facts": facts},
                "segment": group,
                "cluster": name if "kind" in row else group,
                "metadata": {"lang": row["lang"], "style": row["style"], "answerable": answerable},
            }
        )
    return made


def help_cases(sources: Sources) -> list[Row]:
    """The suite about answers from the help pages: each intent in an unseen wording, some hard questions, and all
    that no page answers."""
    made = []
    seen: set[tuple[str, str]] = set()
    for row in sources.unseen:
        intent, lang = row.get("intent", ""), row["lang"]
        if not intent or (intent, lang) in seen:
            continue
        pages = sources.by_name[intent]["documents"]
        if lang == "en" or any(page.startswith("es-") for page in pages):
            seen.add((intent, lang))
            expected = {"documents": ["|".join(pages)], "refuse": False}
            made.append(_help_case(f"{intent}-{lang}", row, "everyday", intent, expected))
    numbers: Counter[str] = Counter()
    for row in [*sources.hard, *(row for row in sources.unseen if row.get("kind") in UNANSWERABLE)]:
        kind = row["kind"]
        numbers[kind] += 1
        name = f"{kind}-{numbers[kind]}"
        if kind in UNANSWERABLE:
            made.append(_help_case(name, row, kind, name, {"refuse": True}))
        elif "documents" in row and numbers[kind] <= HARD_OF_A_KIND:
            made.append(_help_case(name, row, "hard", name, {"documents": row["documents"], "refuse": False}))
    return made


def _help_case(name: str, row: Row, segment: str, cluster: str, expected: Row) -> Row:
    return {
        "id": name,
        "messages": [{"role": "user", "content": row["text"]}],
        "expected": expected,
        "segment": segment,
        "cluster": cluster,
        "metadata": {"lang": row["lang"]},
    }


class Traffic:
    """Two weeks of visits."""

    def __init__(self, sources: Sources, chance: Chance) -> None:
        self._sources = sources
        self._chance = chance

    def log(self) -> list[Row]:
        """Requests in arrival order, each with the whole history as a chat would send it."""
        visits = [self._single() for _ in range(SINGLES)]
        visits += [self._conversation() for _ in range(CONVERSATIONS)]
        visits += [self._hard() for _ in range(HARD)]
        visits += [self._burst(*burst[:2], burst[3]) for burst in BURSTS for _ in range(burst[2])]
        long = sorted((visit for visit in visits if visit.tenant == "acme" and len(visit.turns) > 1), key=_order)
        visits += [self._ticket(visit) for visit in self._chance.shuffled(long)[:TICKETS]]
        requests = [
            request
            for number, visit in enumerate(sorted(visits, key=_order), 1)
            for request in self._requests(visit, f"c-{number:04}")
        ]
        return sorted(requests, key=lambda row: (row["at"], row["conversation"]))

    def _single(self) -> Visit:
        lang = self._language()
        intent = self._intent()
        return self._visit(self._moment(), lang, [self._opening(intent, lang)])

    def _conversation(self) -> Visit:
        lang = self._language()
        wanted = self._chance.one((2, 3, 4, 5), (48, 30, 14, 8))
        talkative = [intent for intent in POPULARITY if self._sources.followups_of(intent, lang)]
        turns: list[Turn] = []
        while len(turns) < wanted:
            intent = self._chance.ranked(talkative, 0.6)
            if any(turn.intent == intent for turn in turns):
                continue
            opening = self._opening(intent, lang, after=bool(turns))
            follow = self._chance.shuffled(self._sources.followups_of(intent, lang))
            turns += [opening, *(Turn(intent, row["text"], row["answer"]) for row in follow)]
        return self._visit(self._moment(), lang, turns[:wanted])

    def _hard(self) -> Visit:
        row = self._chance.one(self._sources.hard)
        turn = Turn("unknown", row["text"], row.get("answer", ""))
        return self._visit(self._moment(), row["lang"], [turn])

    def _burst(self, after: float, hours: float, intents: tuple[str, ...]) -> Visit:
        lang = self._language()
        at = START + timedelta(hours=after + self._chance.between(0, hours))
        return self._visit(at, lang, [self._opening(self._chance.ranked(intents, 1), lang)])

    def _ticket(self, talk: Visit) -> Visit:
        """A colleague takes over `talk` some minutes later and has it summed up."""
        lines = [f"Customer: {turn.text}\nAssistant: {turn.answer}" for turn in talk.turns]
        at = talk.at + timedelta(minutes=self._chance.between(10, 40))
        return Visit(at, talk.tenant, "tickets", talk.lang, (Turn("unknown", "\n".join(lines), ""),))

    def _visit(self, at: datetime, lang: str, turns: Sequence[Turn]) -> Visit:
        tenant = "globex" if self._chance.below(GLOBEX) else "acme"
        route = "auto" if tenant == "acme" and self._chance.below(0.2) else "support"
        return Visit(at, tenant, route, lang, tuple(turns))

    def _opening(self, intent: str, lang: str, *, after: bool = False) -> Turn:
        known = self._sources.phrasings(intent, lang)
        text = self._chance.ranked(known, 0.9)
        if after:
            text = self._chance.one(TURNS_TO[lang]) + _lowered(text)
        elif self._chance.below(CLICKED):
            text = known[0]
        elif self._chance.below(0.14):
            text = self._chance.one(GREETINGS[lang]) + _lowered(text)
        elif self._chance.below(0.1):
            text += self._chance.one(THANKS[lang]) if text[-1] in ".?!" else ""
        elif self._chance.below(0.1):
            text = text.lower().rstrip(".?!").lstrip("¿¡")
        return Turn(intent, text, self._sources.answer(intent, lang))

    def _requests(self, visit: Visit, conversation: str) -> Iterable[Row]:
        messages: list[Mapping[str, str]] = [CLIENT_PROMPT] if visit.route == "auto" else []
        stream = visit.route != "tickets" and self._chance.below(0.6 if visit.tenant == "acme" else 0.3)
        at = visit.at
        for number, turn in enumerate(visit.turns, 1):
            messages = [*messages, {"role": "user", "content": turn.text}]
            yield {
                "at": at.replace(microsecond=0).isoformat().replace("+00:00", "Z"),
                "tenant": visit.tenant,
                "conversation": conversation,
                "turn": number,
                "route": visit.route,
                "stream": stream,
                "messages": messages,
                "intent": turn.intent,
                "lang": visit.lang,
            }
            messages = [*messages, {"role": "assistant", "content": turn.answer}]
            at += timedelta(seconds=self._chance.between(15, 120))

    def _language(self) -> str:
        return "es" if self._chance.below(SPANISH) else "en"

    def _intent(self) -> str:
        return self._chance.ranked(POPULARITY, 0.6)

    def _moment(self) -> datetime:
        day = self._chance.one(range(DAYS), [WEEKDAYS[day % 7] for day in range(DAYS)])
        hour = self._chance.one(range(24), HOURS)
        return START + timedelta(days=day, hours=hour + self._chance.between(0, 1))


def _order(visit: Visit) -> tuple[datetime, str]:
    return visit.at, visit.turns[0].text


def _lowered(text: str) -> str:
    """`text` as it goes on after a comma: "How do I" becomes "how do I"; "I'm" and "Tolvana" stay."""
    start = 1 if text[0] in "¿¡" else 0
    first = text[start:].split(" ", 1)[0]
    if first in ("I", "Tolvana") or first.startswith("I'"):
        return text
    return text[:start] + text[start].lower() + text[start + 1 :]


def _read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _write(path: Path, rows: Iterable[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="where to write; by default beside this script")
    out: Path = parser.parse_args().out
    sources = Sources.read(HERE)
    _write(out / "knowledge.jsonl", knowledge(sources))
    _write(out / "suite" / "cases.jsonl", cases(sources))
    _write(out / "suite-help" / "cases.jsonl", help_cases(sources))
    _write(out / "log.jsonl", Traffic(sources, Chance(SEED)).log())


if __name__ == "__main__":
    main()
