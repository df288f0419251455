"""Questions as other people would have typed them: with slips, other words, fewer or more of them.

The non-obvious decision: no lists of words of any language. Which words say nothing is learned from the questions:
those that are asked of many intents. They are what is left out and put in.
"""

from __future__ import annotations

import random
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence

from distill.student.training.recipe import Variation

Spoken = tuple[str, str]
"""An intent and a language."""

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEAR = {
    letter: "".join(row[max(0, place - 1) : place] + row[place + 1 : place + 2])
    for row in _ROWS
    for place, letter in enumerate(row)
}
_VOWELS = "aeiou"
_SIGNS = str.maketrans("", "", "¿?¡!.,;:'’\"")
_ENDS = ("?", "??", "!", "...", " ?")
_USUAL_SHARE, _USUAL_LEAST = 0.12, 3
"""Of the intents whose questions have a word: from which on it says nothing."""
_SLIPS = (0.1, 0.2, 0.3)


def bare(text: str) -> str:
    """Without accents."""
    return "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))


def plain_word(word: str) -> str:
    """As words are compared: small letters, without accents and signs."""
    return bare(word.translate(_SIGNS).lower())


class Varied:
    """Makes variants of questions. `questions` are those of each intent and language, `near` words of like meaning.

    The same `dice` give the same variants.
    """

    def __init__(
        self, questions: Mapping[Spoken, Sequence[str]], near: Mapping[str, Sequence[str]], settings: Variation
    ) -> None:
        self._questions = questions
        self._near = near
        self._settings = settings
        self.usual = usual_words(questions)

    def variant(self, question: str, spoken: Spoken, dice: random.Random) -> str:
        chance = self._settings
        if dice.random() < chance.plain:
            return question
        if dice.random() < chance.mixes:
            question = _mixed(question, dice.choice(self._questions[spoken]), dice)
        words = self._reworded(question.split(), spoken[1], dice)
        return with_slips(" ".join(words), chance.typos, dice) or question

    def _reworded(self, words: list[str], lang: str, dice: random.Random) -> list[str]:
        chance, usual = self._settings, self.usual.get(lang, ())
        drops = dice.random() * 2 * chance.drops
        kept = []
        for word in words:
            known = plain_word(word)
            if len(words) > 2 and dice.random() < drops * (2 if known in usual else 0.7):
                continue
            near = self._near.get(known)
            kept.append(dice.choice(near) if near and dice.random() < chance.synonyms else word)
        while usual and dice.random() < chance.fills:
            kept.insert(dice.randrange(len(kept) + 1), dice.choice(usual))
        if len(kept) > 3 and dice.random() < 0.12:
            cut = dice.randrange(1, len(kept))
            kept = kept[cut:] + kept[:cut]
        return kept or words


def with_slips(text: str, typos: float, dice: random.Random) -> str:
    """The same words, typed in another way: slips with a probability of `typos`, case, accents, signs."""
    if dice.random() < typos:
        rate = dice.choice(_SLIPS)
        text = " ".join(_slip(word, dice) if dice.random() < rate else word for word in text.split())
    if dice.random() < 0.4:
        text = text.lower()
    if dice.random() < 0.35:
        text = bare(text)
    if dice.random() < 0.4:
        text = text.translate(_SIGNS)
    elif dice.random() < 0.1:
        text += dice.choice(_ENDS)
    return " ".join(text.split())


def usual_words(questions: Mapping[Spoken, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """By language, those words that questions of many intents have."""
    intents: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for (intent, lang), texts in questions.items():
        for text in texts:
            for word in text.split():
                intents[lang][plain_word(word)].add(intent)
    found = {}
    for lang, words in intents.items():
        every = len(set().union(*words.values()))
        least = max(_USUAL_LEAST, _USUAL_SHARE * every)
        found[lang] = tuple(sorted(word for word, where in words.items() if word and len(where) >= least))
    return found


def _mixed(one: str, other: str, dice: random.Random) -> str:
    if dice.random() < 0.5:
        return f"{one} {other}"
    first, second = one.split(), other.split()
    if not first or not second:
        return one
    return " ".join(first[: dice.randrange(1, len(first) + 1)] + second[dice.randrange(len(second)) :])


def _slip(word: str, dice: random.Random) -> str:
    """Two letters changed round, one left out, doubled, or its neighbour hit, or another vowel."""
    if len(word) < 3:
        return word
    at, kind = dice.randrange(len(word) - 1), dice.randrange(5)
    letter = word[at]
    if kind == 0:
        return word[:at] + word[at + 1] + letter + word[at + 2 :]
    if kind == 1:
        return word[:at] + letter + word[at:]
    if kind == 2 and letter.lower() in _NEAR:
        return word[:at] + dice.choice(_NEAR[letter.lower()]) + word[at + 1 :]
    if kind == 3 and letter in _VOWELS:
        return word[:at] + dice.choice(_VOWELS) + word[at + 1 :]
    return word[: at + 1] + word[at + 2 :]
