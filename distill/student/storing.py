"""A student in the registry: put with its verdict, promoted only once a gate has passed it.

The non-obvious decision: a refused student is stored as well, and its refusal is in the log. It can be looked at
and compared with the next one, and whoever puts it in force against the gate does so by name, with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contracts.artefacts import CANARY, PRODUCTION
from contracts.students import CONTENT, STUDENT, read_student
from registry.change_log import Entry
from registry.routers import artefact_name
from registry.store import Registry


class NotPassed(ValueError):
    """No gate has passed this student. The message says why, and what to do."""


def put(registry: Registry, folder: Path, card: Mapping[str, Any], *, by: str) -> str:
    """Store the student's folder, write the card's verdict down, and return the version.

    The same again changes nothing. Raises ValueError where the folder has no student or the card is another's,
    RegistryFault and OSError.
    """
    student = read_student((folder / CONTENT).read_bytes())
    if (card.get("route"), card.get("owner")) != (student.route, student.owner):
        raise ValueError(f"the card is not that of {folder}: write it again from the same run")
    name = artefact_name(student.route, student.owner)
    files = {path.name: path for path in sorted(folder.iterdir())}
    version = registry.put(STUDENT, name, files, card, by=by)
    verdict = card["verdict"]
    before = verdict_on(registry, name, version)
    if before is None or bool(before.evidence.get("passed")) != bool(verdict["passed"]):
        registry.verdict(
            STUDENT,
            name,
            version,
            passed=bool(verdict["passed"]),
            by=by,
            reason="; ".join(verdict["reasons"]),
            evidence={"evidence": card.get("evidence", []), "rules": verdict.get("rules", {})},
        )
    return version


def verdict_on(registry: Registry, name: str, version: str) -> Entry | None:
    """The latest one in the log."""
    entries = registry.log.entries(kind=STUDENT, name=name)
    return next((one for one in reversed(list(entries)) if (one.what, one.version) == ("verdict", version)), None)


def promote(
    registry: Registry,
    route: str,
    owner: str,
    version: str,
    *,
    alias: str = PRODUCTION,
    by: str,
    reason: str = "",
    force: bool = False,
) -> bool:
    """Let `alias` name a version, or what another alias names; whether anything changed.

    Raises NotPassed where its latest verdict is no pass and it is not forced, ValueError where the version is
    another's or damaged, RegistryFault.
    """
    name = artefact_name(route, owner)
    stored = registry.get(STUDENT, name, version)
    if (stored.card.get("route"), stored.card.get("owner")) != (route, owner):
        raise ValueError(f"version {stored.version} of {name} was not learned for route {route}, as its card says")
    read_student((stored.folder / CONTENT).read_bytes())
    verdict = verdict_on(registry, name, stored.version)
    against = _objection(stored.version, verdict)
    if against and not force:
        raise NotPassed(against)
    evidence: dict[str, Any] = {} if verdict is None else {"verdict": verdict.number}
    if against:
        evidence["forced"] = against
    moved = registry.point(
        STUDENT,
        name,
        alias,
        stored.version,
        by=by,
        reason=reason or "it passed the gate",
        evidence=evidence,
    )
    if alias == PRODUCTION and registry.aliases(STUDENT, name).get(CANARY) == stored.version:
        # A rollback would leave it in force for whoever tries the canary, unseen.
        registry.drop(STUDENT, name, CANARY, by=by, reason="its trial is over: it is in production")
    return moved


def _objection(version: str, verdict: Entry | None) -> str:
    if verdict is None:
        return f"No gate has passed version {version}: run `weir distill run` for it, which ends with the gate."
    if not verdict.evidence.get("passed"):
        return f"The gate refused version {version}: {verdict.reason}"
    return ""
