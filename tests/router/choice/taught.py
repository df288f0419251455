"""A learned policy over heads that know four topics: `small` is good at cooking, fair at tides, bad at brakes."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contracts.errors import EncoderUnavailable
from contracts.ports import CheckTerms, Query
from contracts.request import ModelRequest
from distill import intents, quality
from distill.outcomes import Outcome
from ledger.prices import PriceList, PriceRule, TokenRates
from router.choice.aims import Aim, ShareAim
from router.choice.checking import Checking
from router.choice.goals import Bounds
from router.choice.learned import LearnedChoice, Terms
from router.choice.memory import RouteMemory
from router.choice.parts import EVERYONE, Place
from router.choice.sessions import Sessions
from router.choice.shelf import INTENTS, QUALITY, USUAL, HeadShelf
from router.share import ShareController
from tests.distill.planted import DIMENSIONS, TOPICS, WEAK_QUALITY, queries, topic_axes

if TYPE_CHECKING:
    from contracts.ports import Vector

MODELS = ("large", "small")
PRICES = PriceList(
    PriceRule(model=model, rates=TokenRates(input=Decimal(price), output=Decimal(price)), listed_as=model)
    for model, price in (("large", 10), ("small", 1), ("tiny", 1))
)


class TopicEncoder:
    """Texts are near the first topic that they name; those that name none are like nothing else."""

    version = "topics-1"
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        self.up = True

    async def encode(self, text: str) -> Vector:
        if not self.up:
            raise EncoderUnavailable("The encoder was taken down.")
        named = [topic for topic in TOPICS if topic in text]
        row = topic_axes()[TOPICS.index(named[0]) if named else len(TOPICS) + 7]
        vector: Vector = row.astype(np.float32)
        return vector


@cache
def _files() -> tuple[bytes, bytes]:
    from tempfile import TemporaryDirectory

    texts, topics, vectors = queries(400, 1)
    draw = np.random.default_rng(5)
    outcomes = []
    for text, topic in zip(texts, topics, strict=True):
        outcomes.append(Outcome(query=text, model="large", score=float(draw.random() < 0.95)))
        outcomes.append(Outcome(query=text, model="small", score=float(draw.random() < WEAK_QUALITY[topic])))
    settings = quality.QualitySettings(models=MODELS, reference="large")
    examples = [intents.Example(text, topic) for text, topic in zip(texts, topics, strict=True)]
    with TemporaryDirectory() as folder:
        one, other = Path(folder) / QUALITY, Path(folder) / INTENTS
        learned = quality.learn(outcomes, vectors, settings)
        learned.head.card[USUAL] = learned.qualities[:200].tolist()
        learned.head.write(one)
        intents.learn(examples, np.array([vectors[text] for text in texts])).head.write(other)
        return one.read_bytes(), other.read_bytes()


def teach(folder: Path, *, with_intents: bool = True) -> Path:
    """The heads' files, in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / QUALITY).write_bytes(_files()[0])
    if with_intents:
        (folder / INTENTS).write_bytes(_files()[1])
    return folder


def terms(**changed: Any) -> Terms:
    settings: dict[str, Any] = {
        "version": "learned:test",
        "reference": "large",
        "abilities": {},
        "bounds": Bounds(),
        "sureness": 1.0,
        "stay": 0.05,
        "explore": 0.0,
        "shared": False,
    }
    return Terms(**{**settings, **changed})


def choice(
    places: Mapping[str, Path],
    aim: Aim | None = None,
    *,
    encoder: TopicEncoder | None = None,
    sessions: Sessions | None = None,
    check: bool = False,
    memory: RouteMemory | None = None,
    **changed: Any,
) -> LearnedChoice:
    """The policy with heads in `places`, by owner; `check` judges answers by the guess without labels."""
    shelf = HeadShelf(lambda: {owner: Place(folder, "v1") for owner, folder in places.items()}, "topics-1")
    shelf.refresh()
    aim = aim or ShareAim(ShareController(0.5))
    return LearnedChoice(
        terms(**changed),
        shelf=shelf,
        encoder=encoder or TopicEncoder(),
        prices=PRICES,
        aims=lambda _: aim,
        memory=memory or RouteMemory(),
        sessions=sessions,
        checking=Checking(CheckTerms(), lambda: None, second=None, votes=0, itself=False) if check else None,
    )


def everyone(folder: Path) -> dict[str, Path]:
    return {EVERYONE: folder}


def query(text: str, *, tenant: str = "acme", resting: frozenset[str] = frozenset(), **body: Any) -> Query:
    raw = {"model": "auto", "messages": [{"role": "user", "content": text}], **body}
    request = ModelRequest("chat/completions", raw)
    return Query(request=request, body=raw, tenant=tenant, request_id="req_1", resting=resting)
