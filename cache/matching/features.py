"""What tells whether one answer serves two questions: a row of numbers for the boosted trees.

The non-obvious decision: the row describes what is *left over*. Words that both questions have say little that
the cosine has not said; whether the rest is politeness, another spelling, a synonym or another city decides. So the
rest is weighed (by rarity, and by what was learned of each word), and its words are paired with one another by
spelling and by meaning before they count as different.

Loops are written out and walk over words once: this runs for every candidate of every lookup.
"""

from __future__ import annotations

from itertools import pairwise

from msgspec import Struct

from cache.matching.opposites import OPPOSITES
from cache.matching.words import Kind, Lexicon, Word, respelled

LONGEST_TEXT = 2_000
"""Characters of a text that are looked at; what comes after is known to the cosine alone."""
_MOST_WORDS = 300
_MOST_PAIRED = 6
"""Words of a side that are paired by spelling and meaning, those of most weight."""

_WH = {"what": 1, "which": 2, "who": 3, "whom": 3, "whose": 4, "when": 5, "where": 6, "why": 7, "how": 8}

NAMES = (
    "cosine", "dice", "dice_weighted", "contained_query", "contained_stored", "grams",
    *(
        f"{name}_{side}"
        for side in ("query", "stored")
        for name in (
            "only", "weight", "harm", "worst", "content", "heaviest", "rarest", "unknown",
            "stops", "fillers", "symbols", "dates", "codes",
        )
    ),
    "unpaired_query", "unpaired_stored", "unpaired_heaviest_query", "unpaired_heaviest_stored",
    "meaning_least", "meaning_mean", "meaning_most", "respelled",
    "numbers_both", "numbers_query", "numbers_stored", "capitals_query", "capitals_stored",
    "denials", "denials_differ", "opposites", "opposites_shared",
    "role_conflicts", "role_swaps",
    "descents", "descents_content", "pairs_kept",
    "prefix", "suffix", "hunk_query", "hunk_stored", "hunk_content_query", "hunk_content_stored",
    "question", "question_same", "length_query", "length_stored", "length_ratio",
)  # fmt: skip


class Profile(Struct, frozen=True):
    """What is found out about a text once, however many others it is compared with."""

    stems: list[str]
    plain: list[bool]
    at: dict[str, Word]
    """Each different word, in order of appearance."""
    place: dict[str, int]
    weight: float
    numbers: list[str]
    capitals: frozenset[str]
    denials: int
    question: int
    roles: dict[str, set[str]]
    """What follows from, to, before ...: the next word that is not plain."""
    pairs: frozenset[tuple[str, str]]
    """Neighbouring words where plain ones are left out."""
    grams: frozenset[int]


def profile(text: str, lexicon: Lexicon) -> Profile:
    """Look at the beginning of `text`. Takes bounded time, and raises for no text."""
    text = text[:LONGEST_TEXT]
    words = lexicon.words(text)[:_MOST_WORDS]
    at: dict[str, Word] = {}
    place: dict[str, int] = {}
    roles: dict[str, set[str]] = {}
    content: list[str] = []
    numbers: list[str] = []
    capitals: list[str] = []
    denials = question = 0
    weight = 0.0
    role = ""
    for index, word in enumerate(words):
        stem, kind, plain, capital, heavy, _, _, _, _ = word
        if stem not in at:
            at[stem] = word
            place[stem] = index
            weight += heavy
        if capital and index:
            capitals.append(stem)
        if not plain:
            content.append(stem)
            if kind is Kind.NUMBER:
                numbers.append(stem)
            if role:
                roles.setdefault(role, set()).add(stem)
                role = ""
        elif kind is Kind.ROLE:
            role = stem
        elif kind is Kind.DENIAL:
            denials += 1
        elif kind is Kind.QUESTION and not question:
            question = _WH[stem]
    numbers.sort()
    return Profile(
        [word[0] for word in words],
        [word[2] for word in words],
        at,
        place,
        weight,
        numbers,
        frozenset(capitals),
        denials,
        question,
        roles,
        frozenset(pairwise(content)),
        frozenset().union(*[word.grams for word in at.values()]),
    )


def features(query: Profile, stored: Profile, similarity: float, lexicon: Lexicon) -> list[float]:
    """The row of `NAMES` for a new question and a stored one, whose vectors have this cosine."""
    here, there = query.at, stored.at
    only_query = [word for stem, word in here.items() if stem not in there]
    only_stored = [word for stem, word in there.items() if stem not in here]
    left, content_query = _left_over(only_query)
    right, content_stored = _left_over(only_stored)
    shared = query.weight - left[1]
    count = len(here) - len(only_query)
    length, other_length = len(query.stems), len(stored.stems)
    return [
        similarity,
        2 * count / (len(here) + len(there) or 1),
        2 * shared / (query.weight + stored.weight or 1.0),
        shared / (query.weight or 1.0),
        shared / (stored.weight or 1.0),
        2 * len(query.grams & stored.grams) / (len(query.grams) + len(stored.grams) or 1),
        *left, *right,
        *_paired(content_query, content_stored, lexicon),
        *_numbers(query.numbers, stored.numbers),
        len(query.capitals - there.keys()) if query.capitals else 0,
        len(stored.capitals - here.keys()) if stored.capitals else 0,
        query.denials + stored.denials, abs(query.denials - stored.denials),
        *_opposites(only_query, only_stored, query, stored),
        *_roles(query.roles, stored.roles),
        *_order(query, stored),
        *_hunk(query, stored),
        query.question, query.question == stored.question,
        length, other_length, length / (other_length or 1),
    ]  # fmt: skip


def _left_over(words: list[Word]) -> tuple[tuple[float, ...], list[Word]]:
    """What the words of one side alone amount to, and those of them that are not plain."""
    weight = harm = worst = heaviest = rarest = 0.0
    unknown = stops = fillers = symbols = dates = codes = 0
    content: list[Word] = []
    for word in words:
        _, kind, plain, _, heavy, rarity, row, _, hurts = word
        weight += heavy
        harm += hurts
        if hurts < worst:
            worst = hurts
        if plain:
            if kind is Kind.STOP:
                stops += 1
            elif kind is Kind.FILLER:
                fillers += 1
            elif kind is Kind.SYMBOL:
                symbols += 1
            continue
        content.append(word)
        if heavy > heaviest:
            heaviest = heavy
        if rarity > rarest:
            rarest = rarity
        if kind is Kind.CONTENT:
            unknown += row < 0
        elif kind is Kind.DATE:
            dates += 1
        elif kind is Kind.CODE:
            codes += 1
    return (
        len(words), weight, harm, worst, len(content), heaviest, rarest, unknown,
        stops, fillers, symbols, dates, codes,
    ), content  # fmt: skip


def _paired(query: list[Word], stored: list[Word], lexicon: Lexicon) -> tuple[float, ...]:
    """Pair what is left over on both sides by spelling and meaning; what remains of the weights then."""
    if not query or not stored:
        left = [word.weight for word in query or stored]
        total, heaviest = sum(left), max(left, default=0.0)
        nearest = 0.0 if left else 1.0
        if query:
            return total, 0.0, heaviest, 0.0, nearest, nearest, nearest, 0
        return 0.0, total, 0.0, heaviest, nearest, nearest, nearest, 0
    if len(query) > _MOST_PAIRED:
        query = sorted(query, key=_by_weight)[:_MOST_PAIRED]
    if len(stored) > _MOST_PAIRED:
        stored = sorted(stored, key=_by_weight)[:_MOST_PAIRED]
    take = lexicon.meanings.take
    near = (take([word.row for word in query], 0) @ take([word.row for word in stored], 0).T).tolist()
    slips = 0
    firsts = [word.stem[0] for word in stored]
    for place, word in enumerate(query):
        first = word.stem[0]
        if first in firsts and word.kind is Kind.CONTENT:
            for column, other in enumerate(stored):
                if firsts[column] == first and other.kind is Kind.CONTENT and respelled(word.stem, other.stem):
                    near[place][column] = 1.0
                    slips += 1
    best = [max(row) for row in near]
    left = [word.weight * (1 - nearest) for word, nearest in zip(query, best)]  # noqa: B905 (costs)
    best_stored = list(map(max, *near)) if len(near) > 1 else near[0]
    right = [word.weight * (1 - nearest) for word, nearest in zip(stored, best_stored)]  # noqa: B905
    best += best_stored
    return sum(left), sum(right), max(left), max(right), min(best), sum(best) / len(best), max(best), slips


def _by_weight(word: Word) -> float:
    return -word.weight


def _numbers(query: list[str], stored: list[str]) -> tuple[int, int, int]:
    """Numbers that both have, and that only one of them has, as often as they stand there."""
    if query == stored:
        return len(query), 0, 0
    rest = stored.copy()
    for number in query:
        if number in rest:
            rest.remove(number)
    both = len(stored) - len(rest)
    return both, len(query) - both, len(rest)


def _opposites(only_query: list[Word], only_stored: list[Word], query: Profile, stored: Profile) -> tuple[int, int]:
    """Words left over whose opposite is left over on the other side; whose opposite the other side has anyway."""
    left = over = 0
    for word in only_query:
        against = OPPOSITES.get(word.stem)
        if against and not against.isdisjoint(stored.at):
            over += 1
            left += any(stem not in query.at for stem in against if stem in stored.at)
    for word in only_stored:
        against = OPPOSITES.get(word.stem)
        if against and not against.isdisjoint(query.at):
            over += 1
    return left, over


def _roles(query: dict[str, set[str]], stored: dict[str, set[str]]) -> tuple[int, int]:
    """From, to, before ... of which the sides say different things; and one what the other says of another."""
    conflicts = swaps = 0
    if query and stored:
        for role, said in query.items():
            other = stored.get(role)
            if other is not None and other != said:
                conflicts += 1
                swaps += any(not said.isdisjoint(value) for name, value in stored.items() if name != role)
    return conflicts, swaps


def _order(query: Profile, stored: Profile) -> tuple[float, float, float]:
    """How often the order of the shared words is broken; how many neighbours stay neighbours."""
    place = stored.place
    descents = content = 0
    last = last_content = -1
    for stem, word in query.at.items():
        here = place.get(stem, -1)
        if here < 0:
            continue
        if here < last:
            descents += 1
        last = here
        if not word.plain:
            if here < last_content:
                content += 1
            last_content = here
    most = max(len(query.pairs), len(stored.pairs))
    return descents, content, len(query.pairs & stored.pairs) / most if most else 1.0


def _hunk(query: Profile, stored: Profile) -> tuple[float, ...]:
    """What stands between the words that both begin with and those that both end with."""
    one, other = query.stems, stored.stems
    least = min(len(one), len(other))
    start = 0
    while start < least and one[start] == other[start]:
        start += 1
    end = 0
    while end < least - start and one[-1 - end] == other[-1 - end]:
        end += 1
    left, right = query.plain[start : len(one) - end], stored.plain[start : len(other) - end]
    return (
        start / (least or 1), end / (least or 1), len(left), len(right), left.count(False), right.count(False),
    )  # fmt: skip
