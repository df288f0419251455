"""A version of a prompt: sections, demonstrations, slots, an output contract and a merge rule.

The non-obvious decision: a version is a hash of what the prompt does, and of nothing else: neither its name, nor
its file, nor what anybody found out about it. So a prompt that is renamed or moved keeps its version, answers that
were stored under it stay good, and the version in a header is the one in the registry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from contracts.artefacts import CARD, PROMPT_CONTENT, version_of
from contracts.records import Endpoint
from prompts.render import MergeRule, Message, render

INSTRUCTIONS = "instructions"
"""The section of a prompt that was written without any."""
SLOT_NAME = "[a-z][a-z0-9_]*"
SLOT = re.compile(rf"\{{\{{ *({SLOT_NAME}) *\}}\}}")
"""A slot in a text, such as {{ company }}. Only those that a prompt declares are filled."""
_EMPTY_CARD = b"{}"
_GAP = "\n\n"


class Section(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A named part of the instructions. A `locked` one is its author's word: no optimiser changes it."""

    name: str
    text: str
    locked: bool = False


class Demonstration(Struct, frozen=True, forbid_unknown_fields=True):
    """A question with the answer that it should get, shown to the model as if it had given it."""

    user: str
    assistant: str


class Contract(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What every answer must be like. `text` tells the model, after all sections; the rest is checked.

    `matches` and `never_matches` are regular expressions, searched for; `json_schema` holds for the whole answer.
    """

    text: str = ""
    json_schema: Mapping[str, Any] | None = None
    matches: str = ""
    never_matches: str = ""
    most_words: int | None = None

    @property
    def terms(self) -> Mapping[str, Any]:
        """What it demands, by field."""
        return {name: value for name, value in asdict(self).items() if value not in ("", None)}

    @property
    def checks(self) -> bool:
        """Whether there is anything to be checked."""
        return bool(self.terms.keys() - {"text"})


_NO_CONTRACT = Contract()


class BookedPrompt(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, dict=True):
    """A version; `slots` are values by default.

    Raises ValueError where it says nothing, or two sections have one name.
    """

    sections: tuple[Section, ...]
    rule: MergeRule
    demonstrations: tuple[Demonstration, ...] = ()
    slots: Mapping[str, str] = {}
    contract: Contract = _NO_CONTRACT

    @classmethod
    def plain(cls, text: str, rule: MergeRule) -> BookedPrompt:
        """A prompt of one section, all of it tunable."""
        return cls(sections=(Section(name=INSTRUCTIONS, text=text.strip()),), rule=rule)

    @classmethod
    def stored(cls, content: bytes) -> BookedPrompt:
        """What `content` made. Raises ValueError."""
        return msgspec.json.decode(content, type=cls)

    def __post_init__(self) -> None:
        if self.rule not in get_args(MergeRule):
            raise ValueError(f"'{self.rule}' is not a merge rule")
        if not self.text.strip():
            raise ValueError("a prompt must say something")
        names = [section.name for section in self.sections]
        if len(set(names)) < len(names):
            raise ValueError("two sections have the same name")
        if self.contract == _NO_CONTRACT:  # a default is left out of `content` by identity, not by being equal
            msgspec.structs.force_setattr(self, "contract", _NO_CONTRACT)

    @cached_property
    def content(self) -> bytes:
        """As it is stored: the same bytes for the same prompt."""
        return msgspec.json.encode(self, order="deterministic")

    @cached_property
    def version(self) -> str:
        """16 hex digits: the version under which a registry stores it."""
        return version_of({PROMPT_CONTENT: self.content, CARD: _EMPTY_CARD})

    @property
    def text(self) -> str:
        """The instructions, with slots as they were written."""
        texts = [*(section.text for section in self.sections), self.contract.text]
        return _GAP.join(text for text in texts if text)

    @property
    def tunable(self) -> tuple[Section, ...]:
        return tuple(section for section in self.sections if not section.locked)

    def tuned(
        self, texts: Mapping[str, str], demonstrations: Sequence[Demonstration] | None = None
    ) -> BookedPrompt:
        """Another version, with new texts of tunable sections, and new demonstrations where given.

        Raises ValueError for a name that is no tunable section.
        """
        if strange := texts.keys() - {section.name for section in self.tunable}:
            raise ValueError(f"no tunable section is called {', '.join(sorted(strange))}")
        sections = tuple(
            msgspec.structs.replace(section, text=texts.get(section.name, section.text))
            for section in self.sections
        )
        shown = self.demonstrations if demonstrations is None else tuple(demonstrations)
        return msgspec.structs.replace(self, sections=sections, demonstrations=shown)

    def filled(self, values: Mapping[str, str] | None = None) -> FilledPrompt:
        """With `values` in its slots, where there is one, and else what it declares."""
        slots = {name: (values or {}).get(name, usual) for name, usual in self.slots.items()}
        demonstrations = tuple(
            {"role": role, "content": _fill(text, slots)}
            for shown in self.demonstrations
            for role, text in (("user", shown.user), ("assistant", shown.assistant))
        )
        rendering = self.version
        if slots:
            apart = blake2b(msgspec.json.encode(slots, order="sorted"), digest_size=8).hexdigest()
            rendering = f"{self.version}.{apart}"
        return FilledPrompt(_fill(self.text, slots), self.rule, demonstrations, self.version, rendering)


@dataclass(frozen=True, slots=True)
class FilledPrompt:
    """Implements `contracts.ports.Prompt`: a version with its slots filled, ready for requests."""

    text: str
    rule: MergeRule
    demonstrations: tuple[Message, ...]
    version: str
    rendering: str

    def apply(self, body: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, Any]:
        """`body` with this prompt merged in, by the rules of `prompts.render`.

        Completions and embeddings have no place for a system prompt: their body is returned as it is.
        """
        if endpoint != "chat/completions":
            return body
        messages = body["messages"]
        rendered = render(messages, self.text, self.rule, self.demonstrations)
        return body if rendered is messages else {**body, "messages": rendered}


def _fill(text: str, slots: Mapping[str, str]) -> str:
    return SLOT.sub(lambda found: slots.get(found[1], found[0]), text) if slots else text
