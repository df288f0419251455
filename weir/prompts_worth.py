"""Whether a version of a prompt may be put in force, and what to do where it may not.

The non-obvious decision: evidence is about a change, not about a version. What was found better than a prompt that
no longer serves may be worse than the one that does, so it counts only while the version it was measured beside is
in force.
"""

from __future__ import annotations

from collections.abc import Iterator

from contracts.artefacts import CANARY
from prompts.prompt import BookedPrompt
from weir.prompts_subject import Subject, evidence_in, tokens_of


def objection(about: Subject, version: str, alias: str) -> str:
    """Why `alias` may not name `version`, with what to do; empty where it may. Raises OSError.

    A canary is how a version gets evidence, so it needs none; but what may not be served at all is no canary.
    """
    verdict = about.verdict(version)
    evidence = evidence_in(verdict)
    if alias == CANARY:
        if evidence is not None and evidence.refusals:
            return f"Version {version} may not be served: {'; '.join(evidence.refusals)}."
        return ""
    if verdict is None:
        return f"No gate has passed version {version}. Measure it first:\n{_commands(about, version)}"
    if not verdict.evidence.get("passed"):
        return f"The gate refused version {version}: {verdict.reason}"
    if evidence is not None and evidence.before != about.in_force:
        return (
            f"Version {version} was measured beside {evidence.before}, but {about.in_force} is in force now. "
            f"Measure it beside that:\n{_commands(about, version)}"
        )
    return ""


def measuring(about: Subject, version: str) -> Iterator[str]:
    """The commands that measure `version` beside what is in force, and write the gate's verdict down."""
    name = about.name
    route = next(iter(about.routes), "")
    if not route and about.tenants:
        tenant, (route, *_) = next(iter(about.tenants.items()))
        route += f" --tenant {tenant}"
    run = f"eval run SUITE --config {about.quoted_config} --target {route or 'ROUTE'}"
    yield f"weir {run} --prompt {name}@{version} --out runs/new"
    yield f"weir {run} --out runs/now"
    yield f"weir eval gate runs/new --baseline runs/now --rules gate.yaml --record prompt/{name}@{version}"


def oddities(about: Subject, prompt: BookedPrompt) -> Iterator[str]:
    """What its author may not have meant. Nothing here keeps it from serving."""
    locked = {section.name: section.text for section in about.written.sections if section.locked}
    kept = {section.name: section.text for section in prompt.sections}
    for name, text in locked.items():
        if kept.get(name) != text:
            yield f"its section '{name}' is not as {about.settings.file} has it, where it is locked."
    for place, slots in about.filled.items():
        if lost := sorted(slots.keys() - prompt.slots.keys()):
            yield f"it has no slot {', '.join(lost)}, which `{place}` fills."
    tokens = tokens_of(prompt, about.slots(prompt))
    if tokens > about.settings.most_tokens:
        most = about.settings.most_tokens
        yield f"it takes about {tokens:,} tokens, and `prompts.{about.name}.most_tokens` is {most:,}."


def _commands(about: Subject, version: str) -> str:
    return "\n".join(f"  {command}" for command in measuring(about, version))
