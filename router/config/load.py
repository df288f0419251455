"""Reads `weir.yaml` and everything that it names, or says all that is wrong with it at once.

Schema, names, environment and files are each judged on the file as written, none on the result of another, so
that one round of mending is enough.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from prompts.prompt import BookedPrompt
from prompts.reading import PromptUnusable, parse_prompt
from prompts.render import MergeRule
from router.config import links
from router.config.document import Document, Unparsable, parse
from router.config.problems import ConfigError, Place, Problem, did_you_mean, dotted, schema_problems
from router.config.schema import Config, LiteLLMUpstream, OpenAIUpstream, Prompt

__all__ = ["USUAL_FILE", "ConfigError", "Loaded", "Problem", "load"]

USUAL_FILE = Path("weir.yaml")
"""The configuration that verbs read where none is named."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A configuration in which everything it names is there.

    Paths in it are relative to `folder`. `prompts` are what its prompt files say, by name. `files` are the file
    itself and those it names, `digest` is a hash of their contents; models are too large for that and count by
    size and time of change.
    """

    config: Config
    folder: Path
    digest: str
    files: tuple[Path, ...]
    prompts: Mapping[str, BookedPrompt]
    _secrets: Mapping[str, str] = field(repr=False)

    def has_secret(self, reference: str) -> bool:
        """Whether the environment had a value for `reference`, written `${NAME}`. A blank one is none."""
        return links.variable(reference) in self._secrets

    def secret(self, reference: str) -> str:
        """The value of `reference` when the file was read. Raises LookupError where there is none."""
        name = links.variable(reference)
        if name is None or name not in self._secrets:
            raise LookupError(f"no value for the environment reference of {name or 'a setting'}")
        return self._secrets[name]

    def upstream_of(self, model: str) -> str:
        """The upstream that answers for `model`: its own, or that one's stand-in. Raises KeyError."""
        name = self.config.models[model].upstream
        return self.stand_ins.get(name, name)

    @property
    def stand_ins(self) -> Mapping[str, str]:
        """The upstreams whose key has no value here, and what answers in their place."""
        chosen: dict[str, str] = {}
        for name, upstream in self.config.upstreams.items():
            if not isinstance(upstream, OpenAIUpstream | LiteLLMUpstream):
                continue
            if upstream.stand_in and upstream.api_key and not self.has_secret(upstream.api_key):
                chosen[name] = upstream.stand_in
        return chosen


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Loaded:
    """The configuration at `path`. Raises ConfigError, which holds every problem."""
    try:
        text = path.read_bytes()
    except OSError as error:
        reason = Problem("", None, f"cannot be read: {error.strerror}", "Say where it is with --config.")
        raise ConfigError(path, [reason], unreadable=True) from error
    try:
        document = parse(text)
    except Unparsable as error:
        raise ConfigError(path, [Problem("", error.line, error.message)]) from error
    if not isinstance(document.data, dict):
        holds = "nothing" if document.data is None else "no mapping of settings"
        advice = "See docs/reference/config.md for an example."
        raise ConfigError(path, [Problem("", None, f"it holds {holds}", advice)])

    folder = path.absolute().parent
    secrets = dict(_secrets(document.data, environ))
    named = list(links.file_places(document.data, folder))
    folders = list(links.file_places(document.data, folder, links.FOLDERS))
    contents, unread = _read(named)
    prompts, unusable = _prompts(document.data, named, contents)
    stamps, inside, unfound = _look_into(folders)
    for place, store in links.file_places(document.data, folder, links.STORE_FOLDERS):
        unfound += _missing(place, store)
    files = tuple(dict.fromkeys([path.absolute(), *(file for _, file in (*named, *folders)), *inside]))
    config, misshapen = _config(document.data)
    findings = [
        *((place, "is given twice", f"The first is on line {line}.") for place, line in document.twice),
        *misshapen,
        *links.name_findings(document.data),
        *links.secret_findings(document.data, secrets),
        *links.address_findings(document.data, secrets),
        *unread,
        *unusable,
        *unfound,
    ]
    if findings or config is None:
        raise ConfigError(path, _sorted(findings, document), files=files)
    return Loaded(
        config=config,
        folder=folder,
        digest=_digest(text, contents | stamps),
        files=files,
        prompts=prompts,
        _secrets=secrets,
    )


def _config(data: Any) -> tuple[Config | None, list[links.Finding]]:
    try:
        return Config.model_validate(data), []
    except ValidationError as error:
        return None, list(schema_problems(error, data))


def _secrets(data: Any, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The variables that the configuration refers to, as far as they have a value."""
    for pattern in links.SECRETS:
        for _, reference in links.found(data, pattern):
            name = links.variable(reference)
            value = environ.get(name, "").strip() if name else ""
            if name and value:
                yield name, value


def _read(named: Iterable[tuple[Place, Path]]) -> tuple[dict[str, bytes], list[links.Finding]]:
    """The contents of the named files by place, and what is wrong with them."""
    contents: dict[str, bytes] = {}
    findings: list[links.Finding] = []
    for place, file in named:
        large = place[-1] in ("path", "python")
        try:
            if not file.is_file():
                problem = "is a folder" if file.is_dir() else "is not a file" if file.exists() else "is not there"
                findings.append((place, f"the file {file} {problem}", "Paths are relative to this configuration."))
                continue
            contents[dotted(place)] = _stamp(file) if large else file.read_bytes()
        except OSError as error:
            findings.append((place, f"the file {file} cannot be read: {error.strerror}", ""))
    return contents, findings


def _prompts(
    data: Any, named: Iterable[tuple[Place, Path]], contents: Mapping[str, bytes]
) -> tuple[dict[str, BookedPrompt], list[links.Finding]]:
    """The prompts whose files could be read, by name, and what is wrong with those files or the slots given."""
    prompts: dict[str, BookedPrompt] = {}
    findings: list[links.Finding] = []
    for place, file in named:
        content = contents.get(dotted(place))
        if place[0] != "prompts" or content is None:
            continue
        settings = data["prompts"][place[1]]
        try:
            prompt = parse_prompt(content, file.suffix, _rule(settings))
        except PromptUnusable as error:
            findings += [(place, f"the file {file}: {problem}", "") for problem in error.problems]
            continue
        prompts[str(place[1])] = prompt
        for slot in [at[-1] for at, _ in links.found(settings, "slots.*")]:
            if slot not in prompt.slots:
                there = f"There are: {', '.join(prompt.slots)}." if prompt.slots else "It declares none."
                advice = did_you_mean(str(slot), list(prompt.slots)) or there
                findings.append(((*place[:2], "slots", slot), f"'{slot}' is no slot of {file}", advice))
    return prompts, findings


def _rule(settings: Mapping[str, Any]) -> MergeRule:
    """As written, where it is one: else the schema says so, and what else is wrong is found all the same."""
    usual: MergeRule = Prompt.model_fields["merge"].default
    return next((rule for rule in get_args(MergeRule) if rule == settings.get("merge")), usual)


def _missing(place: Place, folder: Path) -> list[links.Finding]:
    """What is wrong where `folder` is none."""
    if folder.is_dir():
        return []
    problem = "is a file" if folder.exists() else "is not there"
    return [(place, f"the folder {folder} {problem}", "Paths are relative to this configuration.")]


def _look_into(
    folders: Iterable[tuple[Place, Path]],
) -> tuple[dict[str, bytes], list[Path], list[links.Finding]]:
    """What named folders count by, the files in them, and what is wrong. What those hold is for others to read."""
    stamps: dict[str, bytes] = {}
    files: list[Path] = []
    findings: list[links.Finding] = []
    for place, folder in folders:
        if missing := _missing(place, folder):
            findings += missing
            continue
        try:
            inside = sorted(file for file in folder.iterdir() if file.is_file())
            stamps[dotted(place)] = b"\n".join(os.fsencode(file.name) + b" " + _stamp(file) for file in inside)
            files += inside
        except OSError as error:
            findings.append((place, f"the folder {folder} cannot be read: {error.strerror}", ""))
    return stamps, files, findings


def _stamp(file: Path) -> bytes:
    """What a file too large to be hashed counts by. Raises OSError where it cannot be read."""
    with file.open("rb"):
        status = file.stat()
    return f"{status.st_size} {status.st_mtime_ns}".encode()


def _digest(text: bytes, contents: Mapping[str, bytes]) -> str:
    digest = blake2b(text, digest_size=16)
    for place, content in sorted(contents.items()):
        digest.update(f"\n{place} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _sorted(findings: Iterable[links.Finding], document: Document) -> list[Problem]:
    """Problems in the order of the file, each told once."""
    problems = [Problem(dotted(place), document.line(place), what, advice) for place, what, advice in findings]
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.line or 0, problem.path))
