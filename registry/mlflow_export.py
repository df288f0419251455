"""An artefact in MLflow's model registry, for those who look for their models there.

The non-obvious decision: Weir's registry stays the one that decides, and what MLflow has is a copy of it. So a
version that is there already is found by its tag, and an export brings its tags and aliases up to date.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from importlib.metadata import version as release_of
from typing import Any

from msgspec import Struct

from registry.card import markdown
from registry.change_log import Entry
from registry.faults import NotAccepted
from registry.store import StoredArtefact

EXPERIMENT, FOLDER, README = "weir", "artefact", "README.md"
"""MLflow's experiment that the exports are runs of; where in a run the files lie, and its card beside them."""
_LONGEST = 5000
"""Characters of a description, of which MLflow's databases hold no more."""


class Exported(Struct, frozen=True):
    """MLflow's names for an artefact. `new`: whether it was not there before."""

    name: str
    version: str
    run: str
    aliases: tuple[str, ...]
    new: bool


def export(
    artefact: StoredArtefact, changes: Sequence[Entry], aliases: Mapping[str, str], uri: str, *, by: str
) -> Exported:
    """Copy it to the MLflow at `uri`, a database or a server. `changes` and `aliases` are those of its name.

    Raises NotAccepted where mlflow is not installed, or MLflow does not do as asked.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it is read while mlflow is imported
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise NotAccepted(f"MLflow's library is not installed ({error}): pip install 'weir[mlflow]'.") from error
    try:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        return _exported(client, artefact, changes, aliases, by)
    except MlflowException as error:
        raise NotAccepted(f"MLflow at {uri} refuses: {error}") from error


def name_in_mlflow(kind: str, name: str) -> str:
    """Without what MLflow allows in no name, and another for every artefact."""
    if not {"/", ":"} & set(name):
        return f"{kind}.{name}"
    apart = blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{kind}.{name.replace('/', '-').replace(':', '-')}.{apart}"


def _exported(
    client: Any, artefact: StoredArtefact, changes: Sequence[Entry], aliases: Mapping[str, str], by: str
) -> Exported:
    name = name_in_mlflow(artefact.kind, artefact.name)
    about = {"weir.kind": artefact.kind, "weir.name": artefact.name}
    tags = {**about, "weir.version": artefact.version, "weir.release": release_of("weir")}
    tags["weir.verdict"] = _verdict(artefact.version, changes)
    card = markdown(artefact, changes)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, tags=about)
    found = client.search_model_versions(f"name = '{name}' and tags.`weir.version` = '{artefact.version}'")
    if found:
        there = found[0]
        for key, value in tags.items():
            client.set_model_version_tag(name, there.version, key, value)
        client.update_model_version(name, there.version, description=_description(card))
    else:
        run = _copied(client, artefact, card, {**tags, "weir.exported-by": by})
        source = f"runs:/{run}/{FOLDER}"
        there = client.create_model_version(name, source, run, tags=tags, description=_description(card))
    for alias in _moved(client, name, str(there.version), artefact.version, aliases):
        client.delete_registered_model_alias(name, alias)
    here = tuple(sorted(alias for alias, version in aliases.items() if version == artefact.version))
    for alias in here:
        client.set_registered_model_alias(name, alias, there.version)
    return Exported(name, str(there.version), there.run_id, here, not found)


def _copied(client: Any, artefact: StoredArtefact, card: str, tags: Mapping[str, str]) -> str:
    """Its files and its card in a run of their own, whose id is returned."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found = client.create_experiment(EXPERIMENT) if experiment is None else experiment.experiment_id
    run: str = client.create_run(found, tags=dict(tags), run_name=f"{artefact.name} {artefact.version}").info.run_id
    status = "FAILED"
    try:
        client.log_artifacts(run, str(artefact.folder), FOLDER)
        client.log_text(run, card, README)
        status = "FINISHED"
    finally:
        client.set_terminated(run, status)
    return run


def _moved(client: Any, name: str, there: str, version: str, aliases: Mapping[str, str]) -> list[str]:
    """Aliases that MLflow has for this version, and Weir no more."""
    held = client.get_registered_model(name).aliases
    return [alias for alias, one in held.items() if str(one) == there and aliases.get(alias) != version]


def _verdict(version: str, changes: Sequence[Entry]) -> str:
    """The last that a gate found."""
    found = [entry for entry in changes if (entry.what, entry.version) == ("verdict", version)]
    if not found:
        return "none"
    return "passed" if found[-1].evidence.get("passed") else "refused"


def _description(card: str) -> str:
    """The card without its front matter, which MLflow would show as text."""
    text = card.split("\n---\n", 1)[-1].strip()
    cut = f"\n\n(The rest is in the run's {README}.)"
    return text if len(text) <= _LONGEST else text[: _LONGEST - len(cut)] + cut
