"""`weir prompts diff`: how two versions of a prompt differ, for the person who lets one take the other's place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from contracts.artefacts import FILE, PREVIOUS
from prompts.differences import Difference, Passage, SectionDifference, difference
from prompts.prompt import Demonstration
from weir.prompts_subject import Subject, faults, readable, subject, tokens_of
from weir.router_artefact import json_option, print_json
from weir.state import config_option

_AROUND = 12
"""Words that are shown on either side of a change; what is between them is left out."""
_STYLES = {"removed": "red strike", "added": "green"}
_MARKS = {"removed": ("[-", "-]"), "added": ("{+", "+}")}


@click.command(
    epilog="""\b
Examples:
  weir prompts diff support
  weir prompts diff support file 0123456789abcdef
  weir prompts diff support canary --json

\b
What was removed is red and struck through, what was added is green. Without colours
they are [-removed-] and {+added+}."""
)
@click.argument("name")
@click.argument("a", metavar="[A]", required=False)
@click.argument("b", metavar="[B]", required=False)
@config_option
@json_option
def diff(name: str, a: str | None, b: str | None, config: Path, as_json: bool) -> None:
    """Show what became of version A in version B, word by word, and what that does to the tokens.

    Both are versions or aliases. B is what is in force where it is left out, and A what came before that: what was
    promoted, if it is set aside, or else `previous`, or the file.
    """
    about = subject(config, name)
    with faults():
        new = about.in_force if b is None else about.resolved(b)
        old = about.resolved(a or _before(about))
        before, after = about.prompt(old), about.prompt(new)
    found = difference(before, after)
    tokens = [tokens_of(prompt, about.slots(prompt)) for prompt in (before, after)]
    if as_json:
        versions = {"a": {"version": old, "tokens": tokens[0]}, "b": {"version": new, "tokens": tokens[1]}}
        print_json({"prompt": name, **versions, "same": old == new, **msgspec.to_builtins(found)})
        return
    console = Console(highlight=False)
    console.print(f"{name}: from {_called(about, old)} to {_called(about, new)}", markup=False)
    if old == new:
        console.print("They are the same version.")
        return
    _print(console, found)
    console.print(_counted(*tokens))


def _before(about: Subject) -> str:
    if about.standing.set_aside:
        return about.standing.set_aside[0]
    return PREVIOUS if PREVIOUS in about.aliases else FILE


def _called(about: Subject, version: str) -> str:
    aliases = about.aliases_of(version)
    return f"{version} ({', '.join(aliases)})" if aliases else version


def _print(console: Console, found: Difference) -> None:
    for section in found.sections:
        if section.change != "same":
            body = _marked(section.passages, coloured=console.is_terminal and not console.no_color)
            console.print(Panel(body, title=_title(section), title_align="left"))
    same = [section.name for section in found.sections if section.change == "same"]
    if same:
        console.print(f"Unchanged: {', '.join(same)}.", markup=False)
    for line in _lines(found):
        console.print(line)


def _title(section: SectionDifference) -> Text:
    was, is_ = section.locked
    words = [section.name, "" if section.change == "changed" else section.change]
    if was != is_ and None not in (was, is_):
        words.append("locked from now on" if is_ else "no longer locked")
    elif was or is_:
        words.append("locked")
    return Text(" · ".join(word for word in words if word))


def _marked(passages: tuple[Passage, ...], *, coloured: bool) -> Text:
    shown = Text()
    for at, passage in enumerate(passages):
        text = readable(passage.text)
        if passage.change == "same":
            shown.append(_short(text, begins=at == 0, ends=at == len(passages) - 1))
        elif coloured:
            shown.append(text, _STYLES[passage.change])
        else:
            begin, end = _MARKS[passage.change]
            words = text.rstrip()
            shown.append(f"{begin}{words}{end}{text[len(words) :]}")
    return shown


def _short(text: str, *, begins: bool, ends: bool) -> str:
    """The words next to a change; `begins` and `ends` say that there is none before, or behind."""
    words = text.split(" ")
    if len(words) <= 2 * _AROUND:
        return text
    head = "" if begins else " ".join(words[:_AROUND])
    tail = "" if ends else " ".join(words[-_AROUND:])
    return " … ".join((head, tail)) if head and tail else f"… {tail}" if tail else f"{head} …"


def _lines(found: Difference) -> Iterator[Text]:
    """All but the sections, a line for each change."""
    if found.reordered:
        yield Text("Sections or demonstrations stand in another order.")
    if found.rule[0] != found.rule[1]:
        yield Text("merge: {} -> {}".format(*found.rule))
    for what, changes in (("slot", found.slots), ("contract", found.contract)):
        yield from _of_fields(what, changes)
    for sign, style, demonstrations in (
        ("-", "red", found.demonstrations_removed),
        ("+", "green", found.demonstrations_added),
    ):
        for each in demonstrations:
            yield Text(_demonstration(sign, each), style=style)


def _of_fields(what: str, changes: Mapping[str, tuple[Any, Any]]) -> Iterator[Text]:
    for name, (was, is_) in changes.items():
        if was is not None:
            yield Text(f"- {what} {name}: {_value(was)}", style="red")
        if is_ is not None:
            yield Text(f"+ {what} {name}: {_value(is_)}", style="green")


def _value(value: Any) -> str:
    return readable(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _demonstration(sign: str, shown: Demonstration) -> str:
    return f"{sign} demonstration\n    user: {readable(shown.user)}\n    assistant: {readable(shown.assistant)}"


def _counted(before: int, after: int) -> str:
    change = f" ({(after - before) / before:+.0%})" if before and after != before else ""
    return f"About {before:,} tokens before, {after:,} after{change}."
