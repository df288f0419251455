"""What a configuration asks of the world around a setting: other names in the file, files, environment variables.

All of it is read from the raw data, by pattern, so that it is found also where the rest of the file is wrong.
In a pattern `*` is any name or place in a list; values of an unexpected type are the schema's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from contracts.records import DIRECT
from router.config.problems import Place, did_you_mean, dotted
from router.config.values import REFERENCE

Finding = tuple[Place, str, str]
"""Where, what, and what to do about it."""

_NAMES: Mapping[str, str] = {
    # where a name stands: the table that must hold it
    "upstreams.*.stand_in": "upstreams",
    "upstreams.*.route": "routes",
    "upstreams.*.tenant": "tenants",
    "models.*.upstream": "upstreams",
    "routes.*.candidates.*": "models",
    "routes.*.prompt": "prompts",
    "routes.*.cache.pool_writers.*": "tenants",
    "routes.*.policy.check.second": "models",
    "routes.*.learning.judge": "models",
    "routes.*.retrieval.rewriter": "models",
    "stores.*.tenants.*": "tenants",
    "tenants.*.refused_models.*": "models",
    "cache.matching.judge": "models",
    "tenants.*.routes.*": "routes",
    "tenants.*.models.*": "models",
    "tenants.*.prompts.*": "prompts",
    "tenants.*.keys.*.routes.*": "routes",
    "tenants.*.keys.*.models.*": "models",
    "budgets.*.tenant": "tenants",
    "budgets.*.route": "routes",
    "budgets.*.model": "models",
    "staff.*.tenant": "tenants",
}
_KEYS: Mapping[str, str] = {"tenants.*.prompts": "routes"}
"""The same, of names that settings are given by."""
FILES = (
    "ledger.prices",
    "prompts.*.file",
    "upstreams.*.path",
    "upstreams.*.knowledge",
    "upstreams.*.python",
    "upstreams.*.engine.python",
    "cache.matching.verifier",
)
FOLDERS = ("encoder.path", "routes.*.policy.artefact", "upstreams.*.artefact")
STORE_FOLDERS = ("stores.*.folder",)
"""Only looked for: what is in them changes at all times, and is no setting."""
SECRETS = (
    "server.admin_key",
    "server.metrics_key",
    "ledger.url",
    "ledger.counters",
    "cache.shared",
    "rag.url",
    "alerts.webhook",
    "upstreams.*.api_key",
    "upstreams.*.engine.api_key",
    "upstreams.*.headers.*",
)
_ADDRESSES: Mapping[str, tuple[str, ...]] = {
    # secrets that are the address of a server, and how such addresses begin
    "ledger.counters": ("redis", "rediss", "unix"),
    "alerts.webhook": ("http", "https"),
}
POOL = "pool:"
"""How the cache marks answers that tenants share; a tenant of such a name would be taken for a pool."""


def found(data: Any, pattern: str) -> Iterator[tuple[Place, Any]]:
    """Every value in `data` whose place fits `pattern`."""
    return _found(data, tuple(pattern.split(".")), ())


def _found(node: Any, pattern: tuple[str, ...], place: Place) -> Iterator[tuple[Place, Any]]:
    if not pattern:
        yield place, node
        return
    step, rest = pattern[0], pattern[1:]
    if isinstance(node, dict):
        for name, value in node.items():
            if step in ("*", name):
                yield from _found(value, rest, (*place, name))
    elif isinstance(node, list) and step == "*":
        for index, value in enumerate(node):
            yield from _found(value, rest, (*place, index))


def _table(data: Any, name: str) -> Mapping[Any, Any]:
    table = data.get(name) if isinstance(data, dict) else None
    return table if isinstance(table, dict) else {}


def name_findings(data: Any) -> Iterator[Finding]:
    """Names that lead nowhere, lead to the wrong thing, or stand for two things."""
    named = [(place, name, table) for pattern, table in _NAMES.items() for place, name in found(data, pattern)]
    for pattern, table in _KEYS.items():
        named += [((*at, name), name, table) for at, names in found(data, pattern) for name in _names(names)]
    for place, name, table in named:
        known = [str(name) for name in _table(data, table)]
        if isinstance(name, str) and name not in known:
            advice = did_you_mean(name, known) or f"There are: {', '.join(known) or 'none'}."
            yield place, f"'{name}' is not one of `{table}`", advice
    yield from _wrong_stand_ins(data)
    yield from _wrong_choices(data)
    yield from _misplaced_students(data)
    yield from _pools_without_writers(data)
    yield from _clashes(data)


def _wrong_stand_ins(data: Any) -> Iterator[Finding]:
    upstreams = _table(data, "upstreams")
    for upstream_name, upstream in upstreams.items():
        name = upstream.get("stand_in") if isinstance(upstream, dict) else None
        if not isinstance(name, str):
            continue
        place = ("upstreams", upstream_name, "stand_in")
        if not upstream.get("api_key"):
            yield place, "has nothing to stand in for: this upstream names no `api_key`", "Remove it, or add one."
        stand_in = upstreams.get(name)
        if isinstance(stand_in, dict) and stand_in.get("stand_in"):
            yield place, f"'{name}' has a stand-in itself", "Name an upstream that needs no other."


def _wrong_choices(data: Any) -> Iterator[Finding]:
    for place, candidates in found(data, "routes.*.candidates"):
        if not isinstance(candidates, list):
            continue
        for index, name in enumerate(candidates):
            if name in candidates[:index]:
                yield (*place, index), f"'{name}' is a candidate already", ""
        route = data["routes"][place[1]]
        paths = ("policy.choose", "policy.reference", "policy.student", "reference")
        chosen = [pair for path in paths for pair in found(route, path)]
        limited = [((*where, name), name) for where, only in found(route, "policy.only") for name in _names(only)]
        for choice, name in (*chosen, *limited):
            if isinstance(name, str) and name not in candidates:
                options = [str(candidate) for candidate in candidates]
                advice = did_you_mean(name, options) or f"There are: {', '.join(options)}."
                yield (*place[:2], *choice), f"'{name}' is not one of the route's candidates", advice


def _misplaced_students(data: Any) -> Iterator[Finding]:
    """A student answers only under a policy that keeps it to what its gate allowed, and beside another model."""
    students = set(_students(data))
    for pattern in ("routes.*.policy.check.second", "routes.*.learning.judge", "cache.matching.judge"):
        for place, name in found(data, pattern):
            if name in students:
                yield place, f"'{name}' is a student: it was not made to judge", "Name another model."
    for place, name in found(data, "routes.*.retrieval.rewriter"):
        if name in students:
            yield place, f"'{name}' is a student: it was not made to rewrite", "Name another model."
    for place, candidates in found(data, "routes.*.candidates"):
        if not isinstance(candidates, list):
            continue
        policy = next((each for _, each in found(data["routes"][place[1]], "policy")), None)
        settings = policy if isinstance(policy, dict) else {}
        present = [name for name in candidates if isinstance(name, str) and name in students]
        if settings.get("kind") == "student":
            yield from _wrong_student((*place[:2], "policy"), settings.get("student"), present, len(candidates))
            continue
        for name in present:
            advice = "Give the route `policy: {kind: student}`, or take it out."
            where = (*place, candidates.index(name))
            yield where, f"'{name}' is a student, and this policy does not know what it may answer", advice


def _wrong_student(place: Place, named: Any, present: list[str], candidates: int) -> Iterator[Finding]:
    if not present:
        advice = "Add a model whose upstream is of kind `student`."
        yield place, "no candidate of this route is a student", advice
    elif isinstance(named, str) and named not in present:
        yield (*place, "student"), f"'{named}' is no student", f"There are: {', '.join(present)}."
    elif named is None and len(present) > 1:
        yield place, f"several candidates are students: {', '.join(present)}", "Name one as `student`."
    elif len(present) == candidates:
        yield place, "nobody answers what the student may not", "Add a candidate that is none."


def _students(data: Any) -> Iterator[str]:
    """The models whose upstream is a student."""
    upstreams = _table(data, "upstreams")
    for place, name in found(data, "models.*.upstream"):
        upstream = upstreams.get(name) if isinstance(name, str) else None
        if isinstance(upstream, dict) and upstream.get("kind") == "student":
            yield str(place[1])


def _names(table: Any) -> Iterator[Any]:
    yield from table if isinstance(table, dict) else ()


def _pools_without_writers(data: Any) -> Iterator[Finding]:
    for place, cache in found(data, "routes.*.cache"):
        if isinstance(cache, dict) and cache.get("pool") and not cache.get("pool_writers"):
            advice = "Name the tenants whose answers others may be given."
            yield (*place, "pool"), "nobody fills this pool: there are no `pool_writers`", advice


def _clashes(data: Any) -> Iterator[Finding]:
    routes, models = _table(data, "routes"), _table(data, "models")
    for name in routes:
        if name == DIRECT:
            yield ("routes", name), "this name is kept for requests that name a model", "Choose another one."
        elif name in models:
            yield ("routes", name), "a model has this name too; clients could not tell which they get", ""
    for name in _table(data, "tenants"):
        if str(name).startswith(POOL):
            yield ("tenants", name), f"names that begin with '{POOL}' are kept for caches", "Choose another one."
    owners: dict[str, Place] = {}
    for place, key_hash in (*found(data, "tenants.*.keys.*.hash"), *found(data, "staff.*.hash")):
        if isinstance(key_hash, str) and owners.setdefault(key_hash, place) != place:
            yield place, f"the same key as {dotted(owners[key_hash][:-1])}", "Give each holder a key of its own."


def variable(reference: object) -> str | None:
    """The environment variable that `reference` names, or None where it is no reference."""
    match = REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
    return match[1] if match else None


def secret_findings(data: Any, secrets: Mapping[str, str]) -> Iterator[Finding]:
    """References to variables without a value, or with one that no header can carry. `secrets` are the values.

    An upstream that has a stand-in may lack its `api_key`; then nothing else of it is needed either.
    """
    upstreams = _table(data, "upstreams")
    spared = {
        name
        for name, upstream in upstreams.items()
        if isinstance(upstream, dict)
        and isinstance(upstream.get("stand_in"), str)
        and variable(upstream.get("api_key")) not in secrets
    }
    for pattern in SECRETS:
        for place, reference in found(data, pattern):
            name = variable(reference)
            if name is not None and not secrets.get(name, "").isprintable():
                yield place, f"the environment variable {name} holds a line break or another control character", ""
            if name is None or name in secrets or (place[0] == "upstreams" and place[1] in spared):
                continue
            own_key = len(place) == len(("upstreams", "NAME", "api_key")) and place[-1] == "api_key"
            or_else = ", or name a `stand_in` that answers while it is not set" if own_key else ""
            yield place, f"the environment variable {name} has no value", f"Set it{or_else}."


def address_findings(data: Any, secrets: Mapping[str, str]) -> Iterator[Finding]:
    """References to variables that should hold an address and do not. What they hold is not told."""
    for pattern, schemes in _ADDRESSES.items():
        for place, reference in found(data, pattern):
            name = variable(reference)
            if name is not None and name in secrets and not _is_address(secrets[name], schemes):
                advice = f"It begins with {' or '.join(f'{scheme}://' for scheme in schemes)}."
                yield place, f"the environment variable {name} holds no such address", advice


def _is_address(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in schemes and port != 0 and bool(parts.path if parts.scheme == "unix" else parts.hostname)


def file_places(data: Any, folder: Path, patterns: Iterable[str] = FILES) -> Iterator[tuple[Place, Path]]:
    """Every file that the configuration names, or folder, and where. Paths are relative to `folder`."""
    for pattern in patterns:
        for place, name in found(data, pattern):
            if isinstance(name, str) and name and "\0" not in name:
                yield place, folder / name
