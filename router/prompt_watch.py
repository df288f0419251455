"""Which prompts must be optimised again, asked of the configuration and the registry: by the server and by a verb.

The non-obvious decision: it is asked whenever somebody looks, not when a promotion is seen. What makes a prompt
outdated is also a day that comes, a changed model and a verdict that moves no alias. The registry's log is read
anew only where it has grown, which takes about 7 ms for a thousand entries.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from prompts.book import standing
from prompts.evidence import Evidence, ServedBy, read
from prompts.watch import again, outdated
from registry.faults import RegistryFault
from registry.prompts import PROMPT
from registry.store import Registry
from router.config.load import USUAL_FILE, Loaded
from router.config.policies import FixedPolicy, LearnedPolicy, StudentPolicy
from router.config.shutdowns import NOTICE_DAYS, shutdown_of

log = logging.getLogger("weir.router")


class OutdatedPrompt(Struct, frozen=True, kw_only=True):
    """`version` is in force under `prompt`; `advice` is the command that finds a better one."""

    prompt: str
    version: str
    reasons: tuple[str, ...]
    advice: str

    def __str__(self) -> str:
        reasons = "; ".join(self.reasons)
        return f"prompts.{self.prompt}: {self.version} must be optimised again: {reasons}. {self.advice}"


def answering(loaded: Loaded, route: str) -> tuple[ServedBy, ...]:
    """The models that `route`'s policy may choose; the others only stand in for one that failed."""
    settings, models = loaded.config.routes[route], loaded.config.models
    policy = settings.policy
    match policy:
        case LearnedPolicy():
            chosen = settings.candidates
        case StudentPolicy():  # it is shown no prompt
            chosen = tuple(model for model in settings.candidates if loaded.config.student_behind(model) is None)
        case FixedPolicy():
            chosen = (policy.choose or settings.candidates[0],)
    return tuple(
        ServedBy(model=name, upstream=loaded.upstream_of(name), name=models[name].name or name) for name in chosen
    )


def evidence_in_force(loaded: Loaded, registry: Registry) -> dict[str, Evidence]:
    """By prompt, the last evidence about the version in force. Prompts without any are left out, and so are those
    that cannot be read: who serves or stores them says so. Raises OSError."""
    versions = {name: version for name in loaded.config.prompts if (version := _in_force(loaded, registry, name))}
    told: dict[str, list[Mapping[str, Any]]] = {}
    for entry in registry.log.entries(kind=PROMPT):
        if versions.get(entry.name) == entry.version and entry.evidence:
            told.setdefault(entry.name, []).append(entry.evidence)
    found = {name: _last(versions[name], each) for name, each in told.items()}
    return {name: evidence for name, evidence in found.items() if evidence is not None}


def outdated_prompts(loaded: Loaded, found: Mapping[str, Evidence], today: date) -> Iterator[OutdatedPrompt]:
    """`found` as `evidence_in_force` has it. In the order of the configuration."""
    for name in loaded.config.prompts:
        routes = _routes(loaded, name)
        if name not in found or not routes:
            continue
        evidence = found[name]
        served = {each.model: each for route in routes for each in answering(loaded, route)}
        ends = {model: shutdown_of(loaded.config, model) for model in served}
        reasons = outdated(
            evidence,
            list(served.values()),
            {model: shutdown.day for model, shutdown in ends.items() if shutdown is not None},
            today,
            NOTICE_DAYS,
        )
        if reasons:
            yield OutdatedPrompt(
                prompt=name, version=evidence.after, reasons=reasons, advice=_advice(loaded, evidence, routes)
            )


class PromptWatch:
    """Looks for a server. `loaded` gives the configuration in force. For any thread, and raises nothing."""

    def __init__(self, loaded: Callable[[], Loaded], registry: Registry) -> None:
        self._loaded = loaded
        self._registry = registry
        self._lock = threading.Lock()
        self._of: Loaded | None = None
        self._stamps: object = None
        self._evidence: Mapping[str, Evidence] = {}
        self._told: frozenset[OutdatedPrompt] = frozenset()

    def readings(self) -> dict[str, float]:
        """By prompt whose version in force has evidence: 1 where it must be optimised again, else 0."""
        evidence, found = self._look()
        outdated = {each.prompt for each in found}
        return {name: float(name in outdated) for name in evidence}

    def tell(self) -> None:
        """Have the log say what must be optimised again, and has not been said."""
        _, found = self._look()
        for each in found:
            if each not in self._told:
                log.warning("%s", each)
        self._told = frozenset(found)

    def _look(self) -> tuple[Mapping[str, Evidence], list[OutdatedPrompt]]:
        with self._lock:
            loaded = self._loaded()
            # An alias moves after the log has said so, and the revision last.
            stamps = _stamp(self._registry.log.path), _stamp(self._registry.folder / "revision")
            if self._of is not loaded or self._stamps != stamps:
                try:
                    self._evidence = evidence_in_force(loaded, self._registry)
                    self._of, self._stamps = loaded, stamps
                except OSError as error:
                    log.warning("the registry's log cannot be read: %s", error)
            return self._evidence, list(outdated_prompts(loaded, self._evidence, datetime.now(UTC).date()))


def _last(version: str, told: Sequence[Mapping[str, Any]]) -> Evidence | None:
    """The last of them that is evidence about `version`: a gate of evals writes another kind."""
    found = (read(one) for one in reversed(told))
    return next((evidence for evidence in found if evidence is not None and evidence.after == version), None)


def _advice(loaded: Loaded, evidence: Evidence, routes: Sequence[str]) -> str:
    """Without a tenant or a model that the configuration has no more: what is usual takes their place."""
    config, path = loaded.config, loaded.files[0]
    known = msgspec.structs.replace(
        evidence,
        tenant=evidence.tenant if evidence.tenant in config.tenants else "",
        reflect_with=evidence.reflect_with if evidence.reflect_with in config.models else "",
    )
    route = evidence.route if evidence.route in routes else routes[0]
    return again(known, route, "" if path == USUAL_FILE.absolute() else str(path))


def _routes(loaded: Loaded, prompt: str) -> list[str]:
    """That use `prompt`, for all tenants or for some."""
    tenants = loaded.config.tenants.values()
    return [
        name
        for name, route in loaded.config.routes.items()
        if route.prompt == prompt or any(tenant.prompts.get(name) == prompt for tenant in tenants)
    ]


def _in_force(loaded: Loaded, registry: Registry, name: str) -> str:
    """The version that serves under `name`; empty where it cannot be read."""
    try:
        return standing(loaded.prompts[name].version, registry.aliases(PROMPT, name)).production
    except (OSError, RegistryFault):
        return ""


def _stamp(path: Path) -> tuple[int, int, int]:
    """Another one whenever the file at `path` has changed; zeros where there is none."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)
