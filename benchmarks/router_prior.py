"""Makes the prior that ships, from outcomes whose licences allow it, and judges it on pairs that it has not seen.

    .venv/bin/python benchmarks/router_prior.py --data DIR --out artefacts/router-prior.npz

DIR as for benchmarks/routing.py. What is shipped learns from all allowed pairs. The figures in it, which are
printed too, are APGR on each pair's queries by what the other allowed pairs taught; 0.5 is chance.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.cache_study import encoded
from benchmarks.routing_data import Pair, Vectors, read_pairs, texts_of
from benchmarks.routing_study import prior_of
from encoder.card import BUILT
from encoder.session import Session
from evals.curves import apgr
from heads.prior import Prior
from heads.queries import features

LICENCES = {
    "routellm_mmlu": "Apache-2.0 (lm-sys/RouteLLM)",
    "routellm_gsm8k": "Apache-2.0 (lm-sys/RouteLLM)",
    "mmlu_pro_8b_gemini": "Apache-2.0 (TIGER-AI-Lab/MMLU-Pro)",
    "zeroeval_8b_sonnet": "Apache-2.0 (WildEval/ZeroEval)",
    "nim_7b_51b": "MIT (ulab-uiuc/LLMRouter)",
}
"""The pairs that may be learned from, and why. The others state no licence, or one that asks for more."""
_NOTES = Console(stderr=True, soft_wrap=True)


def figures_of(pairs: Sequence[Pair], vectors: Vectors) -> dict[str, float]:
    """APGR of each pair by the allowed ones without it, and without questions that it has too."""
    figures = {}
    for judged in pairs:
        stems = {query.stem for query in judged.queries}
        others = [
            pair.where(query.stem not in stems for query in pair.queries)
            for pair in pairs
            if pair.name in LICENCES and pair.name != judged.name
        ]
        prior = prior_of([pair for pair in others if pair.queries], vectors)
        weak, strong = judged.rows()
        gains = [prior.gain(vectors[query.text], features(query.text)) for query in judged.queries]
        figures[judged.name] = round(apgr(np.array(gains), weak, strong), 4)
        _NOTES.print(f"{judged.name}: {figures[judged.name]}")
    return figures


def made(pairs: Sequence[Pair], vectors: Vectors) -> Prior:
    """The prior that ships."""
    return prior_of([pair for pair in pairs if pair.name in LICENCES], vectors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--keep", type=Path, help="folder that keeps vectors for the next run")
    given = parser.parse_args()
    pairs, session = read_pairs(given.data), Session(BUILT)
    texts = texts_of(pairs)
    found = encoded(texts, session, given.keep, _NOTES.print)
    vectors = {text: found[text.strip()].astype(np.float32) for text in texts}
    figures = figures_of(pairs, vectors)
    sources = {
        pair.name: {"queries": len(pair.queries), "licence": LICENCES[pair.name]}
        for pair in pairs
        if pair.name in LICENCES
    }
    card = {
        "encoder": f"{session.card.name} {session.card.version}",
        "sources": sources,
        "figures": {"apgr, by the other allowed pairs": figures},
    }
    version = made(pairs, vectors).write(given.out, card)
    print(json.dumps({"version": version, "bytes": given.out.stat().st_size, "apgr": figures}))


if __name__ == "__main__":
    main()
