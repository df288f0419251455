"""Learns what `rag.retrieval.answerable` goes by, from searches of which it is known what they were worth.

The non-obvious decision: each corpus has a constant of its own while weights are learned, so that they tell its
questions from each other and not corpora by how many answers they have; then one constant is learned for all. A
question that has no answer counts for passages too, none of which help.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from rag.retrieval.answerable import PASSAGE, SEARCH, Learned, Odds, Rows, features
from rag.retrieval.ranking import Ranking

Labels = NDArray[np.bool_]
_RIDGE = 3.0
"""On weights of standardised features; from .3 to 30 is as good by cross-validation."""
_LOOSE = 0.01
"""The same on constants, so that a corpus with answers alone has one."""
_READ = 20
"""Passages of a search that are learned from."""


class Example(Struct, frozen=True):
    """A search with a passage at least, whether the corpus holds the answer, and which passages help to give it."""

    corpus: str
    ranking: Ranking
    answerable: bool
    helps: tuple[bool, ...]


def learned(examples: Sequence[Example]) -> Learned:
    """Needs scipy. Raises ValueError without examples of both kinds."""
    found, helps = _both(examples, lambda ranking: ranking, leave=("share",))
    blind_found, blind_helps = _both(examples, blinded)
    return Learned(found=found, helps=helps, blind_found=blind_found, blind_helps=blind_helps)


def blinded(ranking: Ranking) -> Ranking:
    """As if words alone had been compared, of the same passages."""
    return replace(
        ranking,
        passages=tuple(replace(passage, meaning=None) for passage in ranking.passages),
        fits=tuple(replace(fit, meaning=0.0) for fit in ranking.fits),
        places=tuple((by_words, 0) for by_words, _ in ranking.places),
    )


def _both(
    examples: Sequence[Example], seen: Callable[[Ranking], Ranking], leave: Sequence[str] = ()
) -> tuple[Odds, Odds]:
    rows = [features(seen(example.ranking)) for example in examples]
    corpora = [example.corpus for example in examples]
    answerable = np.array([example.answerable for example in examples])
    searches = np.array([of_search for of_search, _ in rows])
    kept = [of_passages[:_READ] for _, of_passages in rows]
    helps = [helping for example in examples for helping in example.helps[:_READ]]
    owners = [corpus for corpus, passages in zip(corpora, kept, strict=True) for _ in passages]
    return (
        learned_odds(searches, answerable, SEARCH, corpora, leave=leave),
        learned_odds(np.vstack(kept), np.array(helps), PASSAGE, owners),
    )


def learned_odds(
    rows: Rows, labels: Labels, names: Sequence[str], corpora: Sequence[str], *, leave: Sequence[str] = ()
) -> Odds:
    """Logistic regression with a ridge. `rows` are (examples, names); those in `leave` are not looked at."""
    if labels.all() or not labels.any():
        raise ValueError("examples of both kinds are needed")
    used = [name not in leave for name in names]
    centre, scale = rows.mean(axis=0), rows.std(axis=0)
    scale[scale == 0] = 1.0
    standard = ((rows - centre) / scale)[:, used]
    each, owner = np.unique(np.asarray(corpora), return_inverse=True)
    weights = _fitted(standard, np.eye(len(each))[owner], labels)[: standard.shape[1]]
    along = standard @ weights
    stretch, constant = _fitted(along[:, None], np.ones((len(rows), 1)), labels, ridge=0.0)
    own = np.zeros(len(names))
    own[used] = stretch * weights / scale[used]
    return Odds(
        float(round(constant - own @ centre, 4)),
        {name: float(round(weight, 4)) for name, weight in zip(names, own, strict=True) if weight},
    )


def _fitted(rows: Rows, constants: Rows, labels: Labels, ridge: float = _RIDGE) -> Rows:
    """Weights of the columns of `rows`, which the ridge holds back, then of those of `constants`."""
    from scipy.optimize import minimize

    columns = np.column_stack([rows, constants])
    held = np.r_[np.full(rows.shape[1], ridge), np.full(constants.shape[1], _LOOSE)]
    sign = np.where(labels, 1.0, -1.0)

    def loss(weights: Rows) -> tuple[float, Rows]:
        margin = sign * (columns @ weights)
        slope = -(sign / (1 + np.exp(np.clip(margin, -500, 500)))) @ columns
        return float(np.logaddexp(0, -margin).sum() + held @ weights**2 / 2), slope + held * weights

    fitted: Rows = minimize(loss, np.zeros(columns.shape[1]), jac=True, method="L-BFGS-B").x
    return fitted
