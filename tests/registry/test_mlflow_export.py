"""An artefact in MLflow's registry, against a real one in a database of its own, where its library is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from contracts.artefacts import PRODUCTION
from registry.faults import NotAccepted
from registry.mlflow_export import Exported, export, name_in_mlflow
from registry.store import Registry
from tests.registry.putting import FILES, WHY

KIND, NAME = "student", "support/acme"
CARD = {"summary": "Answers the everyday part.", "limits": ["long " * 2000]}


def exported(registry: Registry, version: str, uri: str) -> Exported:
    changes = list(registry.log.entries(kind=KIND, name=NAME))
    return export(registry.get(KIND, NAME, version), changes, registry.aliases(KIND, NAME), uri, by="jane")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's, of its database library
def test_a_version_its_files_its_verdict_and_its_aliases_are_there(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow: Any = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    first, second = (registry.put(KIND, NAME, {**FILES, "a": each}, CARD) for each in (b"1", b"2"))
    registry.verdict(KIND, NAME, first, passed=True, by="gate", reason="good", evidence={})
    registry.point(KIND, NAME, PRODUCTION, first, **WHY)
    name = name_in_mlflow(KIND, NAME)
    done = exported(registry, first, uri)
    assert done == Exported(name, "1", done.run, ("production",), True)

    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    found = client.get_model_version_by_alias(name, "production")
    assert found.run_id == done.run
    about = {"weir.kind": KIND, "weir.name": NAME, "weir.version": first, "weir.verdict": "passed"}
    assert found.tags.items() >= about.items()
    assert "Answers the everyday part." in found.description
    assert len(found.description) == 5000
    assert client.get_registered_model(name).tags == {"weir.kind": KIND, "weir.name": NAME}
    folder = Path(client.download_artifacts(done.run, "", str(tmp_path)))
    assert {path.name for path in (folder / "artefact").iterdir()} == {*FILES, "a", "card.json"}
    assert (folder / "artefact/a").read_bytes() == b"1"
    assert (folder / "README.md").read_text().startswith("---\nmodel_name: ")
    assert client.get_run(done.run).info.status == "FINISHED"

    registry.point(KIND, NAME, PRODUCTION, second, **WHY)
    registry.verdict(KIND, NAME, first, passed=False, by="gate", reason="worse", evidence={})
    assert exported(registry, second, uri).version == "2"
    again = exported(registry, first, uri)
    assert again == Exported(name, "1", done.run, ("previous",), False)
    assert client.get_model_version(name, "1").tags["weir.verdict"] == "refused"
    assert {key: str(one) for key, one in client.get_registered_model(name).aliases.items()} == {
        "production": "2",
        "previous": "1",
    }
    registry.rollback(KIND, NAME, "jane", "worse")
    registry.drop(KIND, NAME, PRODUCTION, **WHY)
    assert exported(registry, second, uri).aliases == ()
    assert client.get_model_version(name, "2").aliases == []

    with pytest.raises(NotAccepted, match="MLflow at nowhere:// refuses"):
        exported(registry, first, "nowhere://")


@pytest.mark.skipif(find_spec("mlflow") is not None, reason="mlflow is installed here")
def test_without_its_library_it_says_what_to_install(registry: Registry) -> None:
    version = registry.put(KIND, NAME, FILES, CARD)
    with pytest.raises(NotAccepted, match=r"pip install 'weir\[mlflow\]'"):
        exported(registry, version, "sqlite://")


def test_no_two_names_are_one_in_mlflow() -> None:
    assert name_in_mlflow(KIND, "support") == "student.support"
    names = {name_in_mlflow(KIND, name) for name in ("a/b", "a-b", "a:b", "a", "a/b/")}
    assert len(names) == 5
    assert not any({"/", ":"} & set(name) for name in names)
