"""What mining left, made by hand, for tests of curation: requests, intents, and vectors that are planted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.importing.alike import plain

TENANT, DAY = "acme", "2026-10-01"
ANSWERS = {
    "parcel": "Your parcel leaves our store within two working days.",
    "refund": "Send it back within thirty days and you have the money again.",
    "weather": "It rains.",
}


def request(number: int, question: str, intent: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"r{number:03}",
        "tenant": TENANT,
        "conversation": f"c{number:03}",
        "turn": 1,
        "messages": [{"role": "user", "content": question}],
        "answer": ANSWERS[intent],
        "intent": intent,
        "lang": "en",
        "day": DAY,
        **changes,
    }


def usual(each: int) -> list[dict[str, Any]]:
    """So many different questions of two intents that are picked, and of one that is not."""
    return [
        request(place * each + number, f"{intent} {'abcdefghijklmnopqrstuvwxyz'[number]}", intent)
        for place, intent in enumerate(ANSWERS)
        for number in range(each)
    ]


def write_mined(folder: Path, requests: Sequence[Mapping[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    intents = [{"intent": intent, "picked": intent != "weather"} for intent in ANSWERS]
    told = {"intents": intents, "route": "support", "sources": [{"name": "log.jsonl", "sha256": "00"}]}
    (folder / "intents.json").write_text(json.dumps(told))
    (folder / "requests.jsonl").write_text("".join(json.dumps(one) + "\n" for one in requests))
    return folder


def encode(texts: Sequence[str]) -> NDArray[np.float32]:
    """Each set of words in a direction of its own, whatever their order; "please" turns it a little."""
    found = []
    for text in texts:
        words = sorted(plain(text).split())
        seed = sum(
            ord(letter) * (place + 1) for place, letter in enumerate(" ".join(w for w in words if w != "please"))
        )
        row = np.random.default_rng(seed).normal(size=64)
        row = row / np.linalg.norm(row)
        if "please" in words:
            row[0] += 0.2
        found.append(row / np.linalg.norm(row))
    return np.array(found, np.float32).reshape(len(texts), 64)
